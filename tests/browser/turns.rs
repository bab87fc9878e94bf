//! The example `turns` in two windows: a laptop by day and a phone by night.

use anyhow::{Result, ensure};

use super::chromium::{Browser, Device, Page};
use super::project::Project;

const PHONE: Device = Device { dark: true, ..Device::PHONE };

/// Records each status: a dropped player may be back before the next poll.
const REMEMBER_STATUS: &str = "window.statuses = [];
void new MutationObserver(([change]) => statuses.push(change.target.textContent))
  .observe(document.getElementById('turn'), { childList: true });";

#[tokio::test]
async fn two_from_the_queue_play_until_one_has_won_and_want_a_rematch() -> Result<()> {
    let project = Project::of("turns")?;
    ensure!(!project.folder.join("static/arena.js").exists(), "this belongs to another example");
    let lobby = project.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let ann = browser.open(&lobby.url).await?;
    let bob = browser.open_on(&PHONE, &format!("{}/?as=2", lobby.url)).await?;
    register(&ann, "Ann with a rather long n").await?;
    register(&bob, "<b>Bob</b>").await?;

    // Ann uses the keyboard only.
    ann.tab_to("#find").await?;
    ann.press("Enter").await?;
    ann.until_shows("#place", "Your place: 1 of 1").await?;
    bob.click("#find").await?;
    for page in [&ann, &bob] {
        page.until_at("room 1").await?;
        page.until_shows("#players", "<b>Bob</b>").await?;
    }
    ann.until("document.activeElement.matches('#board button:nth-child(4)')").await?;

    let ann_begins = play_until_one_has_won(&ann, &bob).await?;
    let (winner, loser) = if ann_begins { (&ann, &bob) } else { (&bob, &ann) };
    winner.until_shows("#turn", "you win").await?;
    loser.until_shows("#turn", "wins").await?;

    winner.click("#rematch").await?;
    loser.until_shows("#turn", "wants a rematch").await?;
    loser.click("#rematch").await?;
    // The other player begins now.
    loser.until_shows("#turn", "Your turn").await?;
    winner.click("#leave").await?;
    loser.until_shows("#turn", "has left: you win").await?;
    loser.click("#leave").await?;
    for page in [&ann, &bob] {
        page.until_at("lobby").await?;
        page.until_shows("#news", "has drawn with").await?;
        ensure!(page.eval("document.querySelectorAll('b').length").await? == 0, "text is text");
        page.is_content()?;
    }
    Ok(())
}

/// Each drops into a column of their own, until one has four; Bob loses the connection meanwhile.
/// Whether Ann began, and so has won.
async fn play_until_one_has_won(ann: &Page, bob: &Page) -> Result<bool> {
    let anns_turn = async || -> Result<bool> {
        ann.until("/(Your|’s) turn/.test(document.getElementById('turn').textContent)").await?;
        Ok(ann.eval("document.getElementById('turn').textContent === 'Your turn'").await? == true)
    };
    let ann_begins = anns_turn().await?;
    for discs in 0..7 {
        if (discs % 2 == 0) == ann_begins {
            ann.until_shows("#turn", "Your turn").await?;
            ann.press("Enter").await?;
        } else {
            bob.until_shows("#turn", "Your turn").await?;
            bob.click("#board button:nth-child(6)").await?;
        }
        for page in [ann, bob] {
            let there = "document.querySelectorAll('.cell:not([data-side=\"\"])').length";
            page.until(&format!("{there} === {}", discs + 1)).await?;
        }
        if discs == 3 {
            ann.eval(REMEMBER_STATUS).await?;
            // On a phone the panel is folded.
            bob.click("#dev-panel summary").await?;
            bob.click("#drop").await?;
            bob.click("#dev-panel summary").await?;
            ann.until("statuses.some((status) => status.includes('is away'))").await?;
            ann.until("!document.getElementById('turn').textContent.includes('is away')").await?;
            bob.until_at("room 1").await?;
        }
    }
    Ok(ann_begins)
}

async fn register(page: &Page, name: &str) -> Result<()> {
    page.until_at("lobby").await?;
    page.click("#register input").await?;
    page.write(name).await?;
    page.click("#register button").await?;
    page.until("document.getElementById('find').getClientRects().length").await
}
