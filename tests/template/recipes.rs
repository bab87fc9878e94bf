//! Follows the recipes as written: the project is formatted, has no warnings, passes its tests, to
//! which each recipe adds its own, and the types of its page are right.

use crate::recipe::Recipe;

#[test]
fn players_open_rooms_with_a_title() {
    follow("rooms", "a_room_with_a_title_is_listed_and_others_join_it");
}

#[test]
fn friends_meet_in_a_room_of_their_own() {
    follow("friends", "friends_meet_by_a_code_and_no_stranger_does");
}

#[test]
fn a_bot_plays() {
    // As its test starts it.
    assert_eq!(Recipe::read("bot").command("node"), "node examples/bot.mjs");
    follow("bot", "the_bot_says_hello_and_comes_back_after_a_crash");
}

#[test]
fn spectators_watch() {
    follow("spectators", "spectators_see_the_game_and_take_no_seat_in_it");
}

#[test]
fn a_game_is_saved() {
    follow("saving", "a_saved_game_goes_on_after_a_restart_and_after_a_crash");
}

#[test]
fn a_phone_in_the_same_network_can_play() {
    assert_eq!(Recipe::read("phone").command("cargo"), "cargo run -- --lan");
    follow("phone", "a_phone_in_the_same_network_can_play");
}

/// `test` is the one that the recipe adds.
fn follow(recipe: &str, test: &str) {
    let workshop = Recipe::read(recipe).follow_from_blank();
    workshop.install_libraries();
    workshop.lint();
    let said = workshop.test();
    assert!(said.contains(&format!("test {test} ... ok")), "{said}");
    // The lobbies of the tests have written the new types.
    workshop.check_types().expect("the page is in order");
}
