//! One room: a worker that computes rows of a picture for the lobby. It has no players. The room
//! calls the hooks one at a time.

use std::time::Duration;

use cluster::{Job, Refusal, Room, RoomContext, Timer, Work};

use crate::messages::{Options, ToLobby, ToRoom, View};

/// Two letters are a shade: base 64.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Shades that two letters can tell apart.
const SHADES: u32 = 4096;
/// The escape radius. 2 is enough; a larger one makes the shades smoother.
const ESCAPE_RADIUS: f64 = 256.0;

pub struct Worker {
    /// An idle worker ends after this time.
    patience: Duration,
    waiting: Timer,
    job: Option<Job>,
    rows: u32,
    busy: Duration,
}

impl Room for Worker {
    cluster::room_types! {
        type Options = Options;
        type FromLobby = ToRoom;
        type ToLobby = ToLobby;
    }

    // HOOK: the room opens.
    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        // By default a room without players closes.
        room.set_empty_timeout(None);
        let patience = Duration::from_millis(options.patience_ms);
        let waiting = room.after(patience, Worker::finish);
        Ok(Worker { patience, waiting, job: None, rows: 0, busy: Duration::ZERO })
    }

    // HOOK: a message of the lobby.
    fn on_lobby_message(&mut self, room: &RoomContext<Self>, message: ToRoom) {
        match message {
            ToRoom::Compute { view, mut rows } => {
                room.cancel(self.waiting);
                let begun = room.elapsed();
                // On another thread: this one receives a cancel, and sends heartbeats.
                let work = move |work: &Work<(u32, String)>| {
                    while !work.is_cancelled()
                        && let Some(row) = rows.next()
                    {
                        work.report((row, line(&view, row)));
                    }
                };
                let on_row = |worker: &mut Self, room: &RoomContext<Self>, (row, shades)| {
                    worker.rows += 1;
                    let _ = room.tell_lobby(ToLobby::Row { row, shades });
                };
                // Also after a cancel or a panic: the lobby knows which rows are missing.
                let on_end = move |worker: &mut Self, room: &RoomContext<Self>, _| {
                    worker.busy += room.elapsed() - begun;
                    worker.waiting = room.after(worker.patience, Worker::finish);
                    let _ = room.tell_lobby(ToLobby::Free);
                };
                self.job = Some(room.compute_in_parts(work, on_row, on_end));
            }
            // No effect on a finished job.
            ToRoom::Cancel => self.job.iter().for_each(Job::cancel),
        }
    }
}

impl Worker {
    /// Reports the work done and closes the room.
    fn finish(&mut self, room: &RoomContext<Self>) {
        let busy_ms = self.busy.as_millis() as u64;
        let _ = room.tell_lobby(ToLobby::Total { rows: self.rows, busy_ms });
        room.close();
    }
}

/// A row of the picture, two letters for each pixel.
fn line(view: &View, row: u32) -> String {
    let step = view.across / f64::from(view.columns);
    let from_middle = |at: u32, of: u32| f64::from(at) + 0.5 - f64::from(of) / 2.0;
    let y = view.y + from_middle(row, view.rows) * step;
    let shades = (0..view.columns).map(|column| {
        let x = view.x + from_middle(column, view.columns) * step;
        shade(x, y, view.depth)
    });
    let letter = |number: u32| char::from(LETTERS[number as usize % LETTERS.len()]);
    shades.flat_map(|shade| [letter(shade / 64), letter(shade)]).collect()
}

/// 0 if the point does not escape, and so seems to be in the Mandelbrot set. Otherwise the number
/// of steps on a logarithmic scale: 256 for each doubling.
fn shade(x: f64, y: f64, depth: u32) -> u32 {
    let (mut a, mut b) = (0.0, 0.0);
    for step in 0..depth {
        (a, b) = (a * a - b * b + x, 2.0 * a * b + y);
        let square = a * a + b * b;
        if square > ESCAPE_RADIUS * ESCAPE_RADIUS {
            // The distance gives the fraction of the last step.
            let steps = f64::from(step) + 2.0 - (square.ln() / 2.0).log2();
            return ((256.0 * steps.max(1.0).log2()) as u32).clamp(1, SHADES - 1);
        }
    }
    0
}
