mod hook_panics;
mod scheduler;
mod test_room_agrees;
