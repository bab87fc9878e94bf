mod health;
mod metrics;
mod page;
