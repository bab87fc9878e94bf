//! One room: a worker that computes rows of a picture. No player is ever in it; the lobby tells it what
//! to do. The room calls the hooks one at a time.

use std::time::Duration;

use cluster::{Job, Refusal, Room, RoomContext, Timer, Work};

use crate::messages::{Options, ToLobby, ToRoom, View};

/// Letters of a shade: 64, so that two of them are a number below 4096.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// The brightest shade is one less: two letters.
const SHADES: u32 = 4096;
/// A point that is so far away escapes. Two would do; more makes the shades smoother.
const FAR: f64 = 256.0;

pub struct Worker {
    /// After so long without work it goes.
    patience: Duration,
    waiting: Timer,
    job: Option<Job>,
    rows: u32,
    busy: Duration,
}

impl Room for Worker {
    type Options = Options;
    type FromLobby = ToRoom;
    type ToLobby = ToLobby;
    cluster::unused!(Request, Event);

    // HOOK: the room opens.
    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        // A room without players closes by itself; this one must not, in the middle of its work.
        room.empty_timeout(None);
        let patience = Duration::from_millis(options.patience_ms);
        let waiting = room.after(patience, Worker::go);
        Ok(Worker { patience, waiting, job: None, rows: 0, busy: Duration::ZERO })
    }

    // HOOK: a message of the lobby.
    fn on_lobby_message(&mut self, room: &RoomContext<Self>, message: ToRoom) {
        match message {
            ToRoom::Compute { view, mut rows } => {
                room.cancel(self.waiting);
                let begun = room.elapsed();
                // On another thread: this one has to hear of a cancel, and to give signs of life.
                let work = move |work: &Work<(u32, String)>| {
                    while !work.is_cancelled()
                        && let Some(row) = rows.next()
                    {
                        work.report((row, line(&view, row)));
                    }
                };
                let on_row = |worker: &mut Self, room: &RoomContext<Self>, (row, shades)| {
                    worker.rows += 1;
                    room.tell_lobby(ToLobby::Row { row, shades });
                };
                // Also when it was cancelled or has panicked: what is missing, the lobby knows.
                let on_end = move |worker: &mut Self, room: &RoomContext<Self>, _| {
                    worker.busy += room.elapsed() - begun;
                    worker.waiting = room.after(worker.patience, Worker::go);
                    room.tell_lobby(ToLobby::Free);
                };
                self.job = Some(room.compute_in_parts(work, on_row, on_end));
            }
            // A job that is over already does not mind.
            ToRoom::Cancel => self.job.iter().for_each(Job::cancel),
        }
    }
}

impl Worker {
    /// Nothing to do: says what it has done, and ends.
    fn go(&mut self, room: &RoomContext<Self>) {
        let busy_ms = self.busy.as_millis() as u64;
        room.tell_lobby(ToLobby::Total { rows: self.rows, busy_ms });
        room.close();
    }
}

/// A row of the picture, two letters for the shade of each pixel.
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

/// 0: the point is in the Mandelbrot set, as far as one can tell. Else the later it escapes, the more:
/// 256 for each doubling.
fn shade(x: f64, y: f64, depth: u32) -> u32 {
    let (mut a, mut b) = (0.0, 0.0);
    for step in 0..depth {
        (a, b) = (a * a - b * b + x, 2.0 * a * b + y);
        let square = a * a + b * b;
        if square > FAR * FAR {
            // How far it is by now says how much of a step was too much.
            let steps = f64::from(step) + 2.0 - (square.ln() / 2.0).log2();
            return ((256.0 * steps.max(1.0).log2()) as u32).clamp(1, SHADES - 1);
        }
    }
    0
}
