//! How lobby and host prove to each other that they have the key of the link, before either acts on
//! what the other sends. The key is derived from that of the lobby's tokens: an attacker on a host
//! cannot forge a player.
//!
//! ```text
//! lobby  { versions, nonce }
//! host   { versions, nonce, proof }           proves the key with the lobby's nonce
//! lobby  { proof, purpose }                   proves it with the host's nonce
//! host   { accepted: … }, relaying, { refused: … } or superseded
//! ```
//!
//! What follows is neither encrypted nor signed: links belong in a private network.

use anyhow::{Context as _, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Term, VERSIONS};
use crate::auth::{LinkKey, random_ticket};
use crate::config::{Origin, Settings};
use crate::types::RoomId;

/// The longest line, in bytes. The settings are a few KiB.
const MAX_LINE: u64 = 64 * 1024;
/// The longest name of a host.
const MAX_NAME: usize = 32;

#[derive(Serialize, Deserialize)]
struct Hello {
    versions: [u32; 2],
    nonce: String,
    /// The host's only.
    proof: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Request {
    proof: String,
    purpose: Purpose,
}

/// What a lobby opens a connection for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// To run rooms with these settings. `lobby`: the id of its process.
    Rooms { lobby: String, term: Term, settings: Box<Settings> },
    /// To relay a player's connection to this room: what follows is theirs.
    Relay { room: RoomId },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Response {
    Accepted(HostInfo),
    Relaying,
    Refused(String),
    /// A lobby of a later term is active.
    Superseded,
}

/// What a host tells about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostInfo {
    pub name: String,
    /// The origin at which browsers reach its rooms; `None`: the lobby relays.
    pub origin: Option<Origin>,
    pub max_rooms: usize,
    /// Larger than the number of any room that it has run.
    pub next_room: u64,
    /// The version of its crate `cluster`.
    pub build: String,
}

/// The lobby's part. Returns the host's response; `Err` also if it refuses.
pub(super) async fn ask(
    stream: &mut TcpStream,
    key: &LinkKey,
    purpose: Purpose,
) -> anyhow::Result<Response> {
    let nonce = random_ticket();
    write(stream, &Hello { versions: VERSIONS, nonce: nonce.clone(), proof: None }).await?;
    let host: Hello = read(stream).await?;
    check_versions(host.versions)?;
    let proof = host.proof.unwrap_or_default();
    ensure!(key.verify(&["host", &nonce, &host.nonce], &proof), "it has another link key");
    let proof = key.prove(&["lobby", &host.nonce, &nonce]);
    write(stream, &Request { proof, purpose }).await?;
    match read(stream).await? {
        Response::Refused(why) => bail!("it refuses: {why}"),
        response => Ok(response),
    }
}

/// The host's part, up to its [`Response`].
pub(super) async fn answer(stream: &mut TcpStream, key: &LinkKey) -> anyhow::Result<Purpose> {
    let lobby: Hello = read(stream).await?;
    let nonce = random_ticket();
    let proof = Some(key.prove(&["host", &lobby.nonce, &nonce]));
    write(stream, &Hello { versions: VERSIONS, nonce: nonce.clone(), proof }).await?;
    check_versions(lobby.versions)?;
    let request: Request = read(stream).await?;
    let is_lobby = key.verify(&["lobby", &nonce, &lobby.nonce], &request.proof);
    ensure!(is_lobby, "the lobby has another link key");
    Ok(request.purpose)
}

/// Checks a host's name: it becomes part of room ids, which are parts of paths.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_plain),
        "the name of a host must consist of a-z, 0-9 and hyphens, and have at most {MAX_NAME} of them"
    );
    Ok(())
}

fn check_versions(other: [u32; 2]) -> anyhow::Result<()> {
    ensure!(other == VERSIONS, "it speaks version {other:?} of the protocol, not {VERSIONS:?}");
    Ok(())
}

/// Writes a line, such as the host's [`Response`].
pub(super) async fn write(stream: &mut TcpStream, message: &impl Serialize) -> anyhow::Result<()> {
    Ok(stream.write_all((serde_json::to_string(message)? + "\n").as_bytes()).await?)
}

/// Reads a line and no byte beyond it: what follows may be for a room.
async fn read<T: DeserializeOwned>(stream: &mut TcpStream) -> anyhow::Result<T> {
    let mut line = Vec::new();
    let mut bytes = BufReader::with_capacity(1, stream).take(MAX_LINE);
    bytes.read_until(b'\n', &mut line).await?;
    serde_json::from_slice(&line).context("closed, or a line that does not parse")
}
