//! Reports on rooms that have crashed, in the folder of `--crash-dir`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io, thread};

use tracing::warn;

use crate::rooms::{Entry, Rooms};
use crate::types::Exit;

/// Older ones are deleted.
const MAX_REPORTS: usize = 100;
/// What the name of a report ends with, after its time.
const SUFFIX: &str = ".room.txt";

impl Rooms {
    /// Writes a report on a room that has just ended, if it was not in order.
    pub(super) fn report_crash(&self, entry: &Entry, exit: &Exit) {
        let what = match exit {
            Exit::Crashed(what) => format!("crashed: {what}"),
            Exit::NeverReady(why) if !entry.status.opened => format!("never became ready: {why}"),
            Exit::Hung => "hung and was killed".to_owned(),
            Exit::Finished | Exit::Closed | Exit::NeverReady(_) => return,
        };
        let Some(folder) = self.settings.crash_dir.clone() else { return };
        let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let room = &entry.room;
        let mut text = format!("room {} ({}) {what}\n", room.id, room.kind);
        let _ = writeln!(text, "time: {time}\noptions: {}", room.options);
        let at_end = entry.status.players_at_end.clone();
        let players = at_end.unwrap_or_else(|| self.seats.players_in(&room.id));
        for player in players {
            let _ = writeln!(text, "player: {player}");
        }
        let (cpu, peak_mib) = (room.usage.cpu, room.usage.peak_memory >> 20);
        let _ = writeln!(text, "processor time: {cpu:?}\nmemory at most: {peak_mib} MiB");
        let _ = write!(text, "log:\n{}", entry.process.output.lines());
        let name = format!("{}-{}{SUFFIX}", time.replace(':', "-"), room.id);
        // Writing to a disk may block.
        let report = move || write(&folder, &name, &text).unwrap_or_else(|error| failed(&error));
        if let Err(error) = thread::Builder::new().spawn(report) {
            failed(&error); // unlike `thread::spawn`, which would panic
        }
    }
}

fn failed(error: &io::Error) {
    warn!(%error, "cannot write the report on a crash");
}

/// Writes a report, and deletes the oldest if there are too many.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), text)?;
    let files = fs::read_dir(folder)?.filter_map(|file| Some(file.ok()?.path()));
    let is_report = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(SUFFIX));
    let mut reports: Vec<_> = files.filter(is_report).collect();
    reports.sort();
    let old = reports.len().saturating_sub(MAX_REPORTS);
    reports.iter().take(old).try_for_each(fs::remove_file)
}
