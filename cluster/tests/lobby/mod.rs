mod echo;
mod limits;
mod logs;
mod play_and_join;
mod shortage;
mod startup;
mod test_lobby_agrees;
mod trust_boundaries;
