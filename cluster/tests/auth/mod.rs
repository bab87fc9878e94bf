mod key;
mod registration;
mod tokens;
