//! Writes `static/messages.d.ts`, the message types in TypeScript, for editors and `npm run check`.
//! A development lobby writes the file at its start if the messages have changed.

use std::fs;
use std::path::Path;

use anyhow::anyhow;
use tracing::{info, warn};

use crate::lobby::{Kind, Lobby};
use crate::types::Message as _;
use crate::types::typescript::Declarations;

const HEAD: &str = "\
// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `\"wave\" | { chat: string }`.
";

/// Writes the file if the messages have changed. A failure is logged; the lobby starts without it.
pub(crate) fn write<L: Lobby>(static_dir: &Path, kinds: &[Kind<L>]) {
    let file = static_dir.join("messages.d.ts");
    let written = declare(kinds).and_then(|text| match fs::read_to_string(&file) {
        Ok(before) if before == text => Ok(false),
        _ => Ok(fs::write(&file, text).map(|()| true)?),
    });
    let file = file.display();
    match written {
        Ok(true) => info!(%file, "message types written: the messages have changed"),
        Ok(false) => {}
        Err(error) => warn!(%file, %error, "cannot write the message types"),
    }
}

fn declare<L: Lobby>(kinds: &[Kind<L>]) -> anyhow::Result<String> {
    let mut types = Declarations::new();
    let request = L::Request::declare(&mut types);
    let event = L::Event::declare(&mut types);
    let profile = L::Profile::declare(&mut types);
    let rooms: String = kinds
        .iter()
        .map(|kind| {
            let [request, event, state, options, listing] = (kind.declare)(&mut types);
            format!(
                "    \"{}\": {{\n      request: {request},\n      event: {event},\n      state: {state},\n\
                 \x20     options: {options},\n      listing: {listing},\n    }},\n",
                kind.name
            )
        })
        .collect();
    let types =
        types.text().map_err(|name| anyhow!("two message types are named '{name}'; rename one"))?;
    Ok(format!(
        "{HEAD}\nexport type Messages = {{\n  lobbyRequest: {request},\n  lobbyEvent: {event},\n  \
         profile: {profile},\n  rooms: {{\n{rooms}  }},\n}};\n\n{types}",
    ))
}
