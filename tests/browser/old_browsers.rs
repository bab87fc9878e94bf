//! Browsers of 2021, and browsers without storage.

use anyhow::{Result, ensure};
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use super::project::Project;
use super::story::register;

/// Newer than Chrome 90, Firefox 90 and Safari 15, and tempting to use.
const TAKE_AWAY_WHAT_IS_NEWER: &str = "
for (const [owner, names] of [
  [URL, 'canParse parse'],
  [Array, 'fromAsync'],
  [Array.prototype, 'at findLast findLastIndex toReversed toSorted toSpliced with'],
  [Object.getPrototypeOf(Uint8Array.prototype), 'at findLast findLastIndex toReversed toSorted with'],
  [Uint8Array, 'fromBase64 fromHex'],
  [String.prototype, 'at isWellFormed toWellFormed'],
  [Object, 'groupBy hasOwn'],
  [Map, 'groupBy'],
  [Map.prototype, 'getOrInsert getOrInsertComputed'],
  [Set.prototype, 'difference intersection isDisjointFrom isSubsetOf isSupersetOf symmetricDifference union'],
  [Promise, 'try withResolvers'],
  [AbortSignal, 'abort any timeout'],
  [AbortSignal.prototype, 'throwIfAborted reason'],
  [Response, 'json'],
  [Response.prototype, 'bytes'],
  [Blob.prototype, 'bytes'],
  [URLSearchParams.prototype, 'size'],
  [Element.prototype, 'checkVisibility setHTML setHTMLUnsafe moveBefore ariaLabel ariaDisabled'],
  [HTMLElement.prototype, 'showPopover hidePopover togglePopover inert'],
  [CanvasRenderingContext2D.prototype, 'roundRect reset letterSpacing createConicGradient'],
  [Crypto.prototype, 'randomUUID'],
  [Navigator.prototype, 'locks userActivation'],
  [Document.prototype, 'startViewTransition'],
  [window, 'structuredClone reportError scheduler Iterator navigation cookieStore OffscreenCanvas CompressionStream'],
]) for (const name of names.split(' ')) delete owner[name];
if ('canParse' in URL || 'toSpliced' in [] || 'structuredClone' in window) throw new Error('it is still new');
";

#[tokio::test]
async fn play_leads_into_a_room_where_url_can_parse_and_other_newer_things_are_missing()
-> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open_after(&Device::LAPTOP, TAKE_AWAY_WHAT_IS_NEWER, &lobby.url).await?;
    page.until_at("lobby").await?;
    // The test itself may use newer functions.
    page.eval("document.querySelector('#register input').focus()").await?;
    page.write("Ann").await?;
    page.press("Enter").await?;
    page.until("document.getElementById('join-any').offsetParent").await?;
    page.eval("document.getElementById('join-any').click()").await?;
    page.until_at("room 1").await?;
    page.until_shows("#players", "Ann").await?;
    page.until_shows("#details", "/rooms/1").await?;
    page.until_shows("#server-log", "joined player=Ann").await?;

    // Another player joins, drops and leaves.
    let bob = browser.open(&format!("{}/?as=2", lobby.url)).await?;
    register(&bob, "Bob").await?;
    bob.click("#join-any").await?;
    page.until_shows("#players", "Bob").await?;
    bob.click("#leave").await?;
    page.until("!document.getElementById('players').innerText.includes('Bob')").await?;
    page.eval("document.getElementById('leave').click()").await?;
    page.until_notice("You left the room. You are back in the lobby.").await?;
    page.is_content()
}

#[tokio::test]
async fn with_cookies_blocked_a_player_stays_themselves_and_is_told_why_they_are_back() -> Result<()>
{
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start_without_cookies().await?;
    let page = browser.open(&lobby.url).await?;
    let kept = page.eval("(document.cookie = 'a=b') && document.cookie").await?;
    ensure!(kept == "", "cookies are not blocked: {kept}");
    register(&page, "Ann").await?;
    for room in ["1", "2"] {
        plays_until_the_room_dies(&page, room).await?;
    }
    // The console says why, once.
    let complaints = page.complaints();
    ensure!(complaints.len() == 2, "{complaints:?}");
    ensure!(complaints[0].contains("cookies are blocked"), "{complaints:?}");
    ensure!(complaints[1].contains("Access is denied"), "{complaints:?}");
    Ok(())
}

#[tokio::test]
async fn a_cookie_that_cannot_be_read_or_written_does_not_stop_the_page() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let throws = "Object.defineProperty(Document.prototype, 'cookie', {
      get() { throw new DOMException('no cookies here', 'SecurityError') },
      set() { throw new DOMException('no cookies here', 'SecurityError') },
    });";
    let page = browser.open_after(&Device::LAPTOP, throws, &lobby.url).await?;
    register(&page, "Ann").await?;
    plays_until_the_room_dies(&page, "1").await?;
    // All of these errors are logged, and no others.
    let complaints = page.complaints();
    ensure!(!complaints.is_empty(), "the console was not told");
    for complaint in complaints {
        ensure!(complaint.contains("no cookies here"), "{complaint}");
    }
    Ok(())
}

/// Joins a new room, and returns as the same player.
async fn plays_until_the_room_dies(page: &Page, room: &str) -> Result<()> {
    let id = "[...document.querySelectorAll('#details dd')][2].textContent";
    let before = page.eval(id).await?;
    page.forget_notices().await?;
    page.click("#join-any").await?;
    page.until_at(&format!("room {room}")).await?;
    page.click("#kill").await?;
    page.until_notice("The room crashed. You are back in the lobby.").await?;
    page.until_at("lobby").await?;
    page.until_shows("#greeting", "Welcome, Ann").await?;
    let after = page.eval(id).await?;
    ensure!(after == before && after != json!("–"), "{before} has become {after}");
    Ok(())
}
