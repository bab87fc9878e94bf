mod arrivals;
mod key;
mod registration;
mod tokens;
