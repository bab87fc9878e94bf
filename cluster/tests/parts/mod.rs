//! The parts in `parts/`: with the tests that users copy, and the waiting room in a program of its
//! own (`main.rs`). `rooms/queue.rs` tests the queue over real processes.

mod waiting_room;

#[path = "../../parts/queue.rs"]
#[allow(dead_code, reason = "its own tests use some of it")]
mod queue_part;
#[path = "../../parts/waiting_room.rs"]
#[allow(dead_code, reason = "its own tests use some of it")]
mod waiting_room_part;
