mod hook_panics;
mod scheduler;
mod sending;
mod state;
mod test_room_agrees;
