//! The lobby's log: whatever becomes of it, the lobby serves on, and ends in order.
