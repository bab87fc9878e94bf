//! The parts in `parts/`, in a program of their own (`main.rs`). `rooms/queue.rs` tests the queue.

mod waiting_room;
