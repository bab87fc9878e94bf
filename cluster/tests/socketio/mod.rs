mod binary;
mod fuzzing;
mod messages;
mod rate_limits;
mod refused_connections;
mod requests;
