//! `static/messages.d.ts`: the messages as TypeScript types, against which editors and `npm run check`
//! hold the page. A development lobby writes the file when it starts and the messages have changed.

use std::{fs, io, path::Path};

use tracing::{info, warn};

use crate::{
    lobby::{context::kinds::Kind, hooks::Lobby},
    types::{Message as _, typescript::Declarations},
};

const HEAD: &str = "\
// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `\"wave\" | { chat: string }`.
";

/// Writes the file anew if the messages have changed. That it cannot be written is no reason not to start.
pub(crate) fn write<L: Lobby>(static_dir: &Path, kinds: &[Kind<L>]) {
    let file = static_dir.join("messages.d.ts");
    let text = match declare(kinds) {
        Ok(text) => text,
        Err(name) => {
            let file = file.display();
            return warn!(%file, name, "not written: two types of messages have this name; rename one");
        }
    };
    if fs::read_to_string(&file).is_ok_and(|current| current == text) {
        return;
    }
    match replace(&file, &text) {
        Ok(()) => info!(file = %file.display(), "written: the messages have changed"),
        Err(error) => warn!(%error, file = %file.display(), "cannot write the messages' types"),
    }
}

/// In one step: several lobbies may start at once, and an editor may be reading.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension(format!("ts.{}", std::process::id()));
    fs::write(&new, text)?;
    fs::rename(&new, file).inspect_err(|_| drop(fs::remove_file(&new)))
}

fn declare<L: Lobby>(kinds: &[Kind<L>]) -> Result<String, String> {
    let mut types = Declarations::new();
    let request = L::Request::declare(&mut types);
    let event = L::Event::declare(&mut types);
    let rooms: Vec<_> = kinds.iter().map(|kind| (kind.declare)(&mut types)).collect();
    // With several kinds of rooms, what any of them says or hears.
    let union = |part: fn(&[String; 3]) -> &String| {
        let mut names: Vec<_> = rooms.iter().map(part).cloned().collect();
        names.dedup();
        names.join(" | ")
    };
    let (requests, events, options) =
        (union(|room| &room[0]), union(|room| &room[1]), union(|room| &room[2]));
    let types = types.text()?;
    Ok(format!(
        "{HEAD}\nexport type Messages = {{\n  lobbyRequest: {request},\n  lobbyEvent: {event},\n  \
         roomRequest: {requests},\n  roomEvent: {events},\n  options: {options},\n}};\n\n{types}",
    ))
}
