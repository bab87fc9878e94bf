mod echo;
mod limits;
mod logs;
mod play_and_join;
mod startup;
mod trust_boundaries;
