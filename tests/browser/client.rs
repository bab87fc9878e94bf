//! What `cluster.js` keeps up to date: the room's state, who is where, and the players' profiles.
//! The project is the example `blank` with a profile, a color.

use std::fs;

use anyhow::{Result, ensure};
use cluster::testing::LobbyProcess;
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use crate::template::helpers::{Folder, Template, Workshop, must, read};

/// The page's cluster as `window.cluster`; each call of these hooks is in `window.calls`.
const EXPOSE: &str = r#"
window.calls = [];
window.cluster = cluster;
for (const name of ["lobbyEvent", "roomEntered", "roomStateChanged", "playersChanged"]) {
  const hook = /** @type {any} */ (cluster.hooks)[name];
  cluster.hooks[name] = (/** @type {any[]} */ ...details) => {
    calls.push([name, ...details]);
    hook(...details);
  };
}
cluster.start();
"#;

/// What is changed in the example: the file, the old text, the new one.
const CHANGES: [(&str, &str, &str); 9] = [
    (
        "src/messages.rs",
        "        Wave,\n",
        "        Wave,\n        /// Another color.\n        Wear { color: String },\n",
    ),
    (
        "src/messages.rs",
        "    // HOOK: the options of a room",
        "    #[derive(Default)]\n    pub struct Profile {\n        pub color: String,\n    }\n\n    \
         // HOOK: the options of a room",
    ),
    ("src/server.rs", "type Profile = ();", "type Profile = crate::messages::Profile;"),
    ("src/room.rs", "type Profile = ();", "type Profile = crate::messages::Profile;"),
    (
        "src/server.rs",
        "            LobbyRequest::Wave => {",
        "            LobbyRequest::Wear { color } => {
                lobby.set_profile(from, crate::messages::Profile { color })?;
            }
            LobbyRequest::Wave => {",
    ),
    (
        "src/server.rs",
        "        Err(Refusal::NOT_ALLOWED)\n",
        "        if from.name == \"Eve\" { Err(Refusal::NOT_ALLOWED) } else { Ok(()) }\n",
    ),
    (
        // A player who says hello turns green, in the room.
        "src/room_manager.rs",
        "        self.hellos += 1;\n",
        "        self.hellos += 1;
        for (player, _) in lobby.players().into_iter().filter(|(player, _)| player.name == from) {
            let green = crate::messages::Profile { color: \"green\".to_owned() };
            lobby.set_profile(&player, green).unwrap();
        }\n",
    ),
    (
        "src/room.rs",
        "\"on_disconnect\");\n        None",
        "\"on_disconnect\");\n        Some(Duration::from_secs(30))",
    ),
    ("static/client.js", "\ncluster.start();\n", EXPOSE),
];

#[tokio::test]
async fn the_rooms_state_is_live_after_a_join_a_sync_and_a_return() -> Result<()> {
    let (_workshop, lobby) = start().await;
    let browser = Browser::start().await?;
    let ann = enter(&browser, &lobby.url, "Ann").await?;
    // The hook comes after `roomEntered`, and the property is set by then.
    ann.until("calls.some(([name]) => name === 'roomStateChanged')").await?;
    let names = "calls.map(([name]) => name).filter((name) => name.startsWith('room'))";
    ensure!(ann.eval(names).await? == json!(["roomEntered", "roomStateChanged"]));
    ensure!(ann.eval("cluster.room.state").await? == json!({ "hellos": 0 }));
    ann.until_shows("#details", "{\"hellos\":0}").await?;

    let bob = enter(&browser, &format!("{}/?as=2", lobby.url), "Bob").await?;
    ann.click("#hello").await?;
    for page in [&ann, &bob] {
        page.until("cluster.room.state?.hellos === 1").await?;
        page.until_shows("#hellos", "Hellos in this room: 1").await?;
        page.until_shows("#details", "{\"hellos\":1}").await?;
    }
    let states =
        "calls.filter(([name]) => name === 'roomStateChanged').map(([, state]) => state.hellos)";
    ensure!(bob.eval(states).await? == json!([0, 1]));

    // A player who returns has the state again, although it has not changed.
    bob.eval("void (calls.length = 0, cluster.drop())").await?;
    bob.until("calls.some(([name]) => name === 'roomStateChanged')").await?;
    ensure!(bob.eval(names).await? == json!(["roomEntered", "roomStateChanged"]));
    ensure!(bob.eval("cluster.room.state").await? == json!({ "hellos": 1 }));
    ann.click("#leave").await?;
    ann.until("cluster.state === 'lobby'").await?;
    ensure!(ann.eval("cluster.room.state").await?.is_null(), "it is not in the room any more");
    for page in [&ann, &bob] {
        page.is_content()?;
    }
    Ok(())
}

#[tokio::test]
async fn players_are_watched_by_those_whom_the_lobby_allows() -> Result<()> {
    let (_workshop, lobby) = start().await;
    let browser = Browser::start().await?;
    let eve = register(&browser, &format!("{}/?as=2", lobby.url), "Eve").await?;
    let watch = "cluster.lobby.request('watch_players').then(() => 'allowed', ({ code }) => code)";
    ensure!(eve.eval(watch).await? == "not_allowed");
    let bob = register(&browser, &lobby.url, "Bob").await?;
    ensure!(bob.eval(watch).await? == "allowed");
    let ann = enter(&browser, &format!("{}/?as=3", lobby.url), "Ann").await?;

    let latest =
        "calls.findLast(([name, event]) => name === 'lobbyEvent' && event === 'players')?.[2]
        .map(({ name, place, room }) => `${name} ${place} ${room}`).sort().join()";
    let shown = |text: &str| format!("({latest}) === '{text}'");
    bob.until(&shown("Ann room 1,Bob lobby null,Eve lobby null")).await?;
    ann.click("#leave").await?;
    bob.until(&shown("Ann lobby null,Bob lobby null,Eve lobby null")).await?;
    let heard = "calls.some(([, event]) => event === 'players')";
    ensure!(eve.eval(heard).await? == false, "she was refused");
    Ok(())
}

#[tokio::test]
async fn a_new_profile_reaches_its_player_and_everyone_in_the_room() -> Result<()> {
    let (_workshop, lobby) = start().await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ensure!(ann.eval("cluster.you.profile").await? == json!({ "color": "" }));
    let before = ann.eval("document.cookie").await?;
    ann.eval("cluster.lobby.request('wear', { color: 'red' })").await?;
    ann.until("cluster.you.profile.color === 'red'").await?;
    // The page's hook is told, without the token.
    let changed = "calls.find(([, event]) => event === 'profile_changed')?.[2]";
    ann.until(&format!("{changed}.profile.color === 'red'")).await?;
    ensure!(ann.eval(&format!("Object.keys({changed}).sort().join()")).await? == "id,name,profile");
    // The token has it as well, so it is kept.
    ensure!(ann.eval("document.cookie").await? != before, "the same token");
    ann.reload().await?;
    ann.until("window.cluster?.you?.profile.color === 'red'").await?;

    ann.click("#join").await?;
    ann.until("cluster.room.players.length === 1").await?;
    ensure!(ann.eval("cluster.room.players[0].profile.color").await? == "red");
    let bob = enter(&browser, &format!("{}/?as=2", lobby.url), "Bob").await?;
    let ann_in_the_room = "cluster.room.players.find(({ name }) => name === 'Ann')";
    ensure!(bob.eval(&format!("{ann_in_the_room}.profile.color")).await? == "red");
    ann.click("#hello").await?;
    ann.until("cluster.you.profile.color === 'green'").await?;
    for page in [&ann, &bob] {
        page.until(&format!("{ann_in_the_room}.profile.color === 'green'")).await?;
        let told = "calls.findLast(([name]) => name === 'playersChanged')[1]
            .map(({ name, profile, away }) => `${name} ${profile.color} ${away}`).join()";
        ensure!(page.eval(told).await? == "Ann green false,Bob  false");
    }
    ensure!(bob.eval("cluster.you.name").await? == "Bob");
    // Back in the lobby, with a token that has the newest profile.
    ann.click("#leave").await?;
    ann.until("cluster.state === 'lobby'").await?;
    ensure!(ann.eval("cluster.you.profile.color").await? == "green");
    ann.is_content()
}

/// The changed example, and its lobby.
async fn start() -> (Workshop, LobbyProcess) {
    let folder = Folder::new();
    let blank = ["--name", "client", "--silent", "-d", "example=blank"];
    Template::new().generate(folder.path()).args(&blank).succeed();
    let project = folder.path().join("client");
    for (file, old, new) in CHANGES {
        let text = read(&project, file);
        assert_eq!(text.matches(old).count(), 1, "in {file}: {old}");
        fs::write(project.join(file), text.replace(old, new)).unwrap();
    }
    for file in ["src/server.rs", "src/room.rs", "src/room_manager.rs"] {
        let text = read(&project, file).replace("&Player", "&Player<crate::messages::Profile>");
        fs::write(project.join(file), text).unwrap();
    }
    let workshop = Workshop::take(&project);
    workshop.install_libraries();
    must(&mut workshop.cargo(&["build", "--locked", "--quiet"]));
    let lobby = LobbyProcess::builder(workshop.target.join("debug/server"));
    let lobby = lobby.working_dir(&workshop.project).flags(&["--dev", "--seats", "8"]);
    let lobby = lobby.on_line(|line| println!("{line}")).start().await;
    (workshop, lobby)
}

async fn enter(browser: &Browser, url: &str, name: &str) -> Result<Page> {
    let page = register(browser, url, name).await?;
    page.click("#join").await?;
    page.until("cluster.state === 'room'").await?;
    Ok(page)
}

async fn register(browser: &Browser, url: &str, name: &str) -> Result<Page> {
    let page = browser.open_on(&Device::LAPTOP, url).await?;
    page.click("#register input").await?;
    page.write(name).await?;
    page.press("Enter").await?;
    page.until("window.cluster?.you").await?;
    Ok(page)
}
