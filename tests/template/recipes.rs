//! Follows the recipes as written: the project is formatted, has no warnings, passes its tests, to
//! which each recipe adds its own, and the types of its page are right.

use std::fs;
use std::path::Path;

use crate::helpers::{Folder, REPOSITORY, read};
use crate::recipe::Recipe;

#[test]
fn players_open_rooms_with_a_title() {
    follow("rooms", "a_room_with_a_title_is_listed_and_others_join_it");
}

#[test]
fn no_stranger_enters_a_private_room() {
    follow("invite", "friends_meet_by_a_code_and_no_stranger_does");
}

#[test]
fn friends_meet_in_one_room() {
    follow("friends", "players_see_where_a_friend_is_and_join_them");
}

/// A kind of room costs its own file and at most five lines elsewhere.
#[test]
fn rooms_of_several_kinds() {
    let text = read(Path::new(REPOSITORY), "cluster/docs/recipes/kinds.md");
    let (chat, worker) = text.split_once("## A worker").expect("two parts");
    let (worker, _) = worker.split_once("Chats give it work").expect("the chat's part of it");
    for (part, own, lines) in [(chat, "src/chat.rs", 3), (worker, "src/worker.rs", 5)] {
        let elsewhere = |file: &str| file.ends_with(".rs") && file != own;
        assert_eq!(Recipe::parse(part).added(elsewhere), lines, "{own}");
    }
    follow("kinds", "a_game_a_chat_and_a_worker_run_side_by_side");
}

#[test]
fn the_lobby_has_routes_of_its_own() {
    follow("routes", "routes_check_what_they_are_sent");
}

#[test]
fn a_proxy_says_who_the_player_is() {
    follow("identity", "the_header_of_the_proxy_makes_the_player_and_nobody_registers_without_it");
}

#[test]
fn the_page_shows_the_state_of_the_room() {
    follow("state", "all_pages_show_the_votes_also_those_that_come_later");
}

#[test]
fn a_bot_plays() {
    // As its test starts it.
    assert_eq!(Recipe::read("bot").command("node"), "node examples/bot.mjs");
    follow("bot", "the_bot_says_hello_and_comes_back_after_a_crash");
}

#[test]
fn two_sides_meet_in_a_waiting_room() {
    assert_eq!(Recipe::read("waiting_room").command("cp"), "cp cluster/parts/waiting_room.rs src/");
    follow("waiting_room", "two_sides_meet_at_a_table_and_again_after_the_game");
}

#[test]
fn spectators_watch() {
    follow("spectators", "spectators_see_the_game_and_take_no_seat_in_it");
}

#[test]
fn everyone_sees_a_players_color() {
    follow("profile", "players_have_a_color_and_may_change_it");
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
    passes(&Recipe::read(recipe), test);
}

pub fn passes(recipe: &Recipe, test: &str) {
    let workshop = recipe.follow_from_blank();
    workshop.install_libraries();
    workshop.lint();
    let said = workshop.test();
    assert!(said.contains(&format!("test {test} ... ok")), "{said}");
    // The lobbies of the tests have written the new types.
    workshop.check_types().expect("the page is in order");
}

#[test]
fn a_step_that_fits_nowhere_or_in_two_places_fails() {
    let folder = Folder::new();
    let file = folder.path().join("room.rs");
    let take = |diff: &str| {
        fs::write(&file, "a\n    b\nc\n    b\n").unwrap();
        let recipe = Recipe::parse(&format!("In `room.rs`:\n\n```diff\n{diff}```\n"));
        let followed = std::panic::catch_unwind(|| recipe.follow(folder.path()));
        followed.ok().map(|()| fs::read_to_string(&file).unwrap())
    };
    assert_eq!(take(" a\n+new\n     b\n").as_deref(), Some("a\nnew\n    b\nc\n    b\n"));
    assert_eq!(take("-c\n").as_deref(), Some("a\n    b\n    b\n"));
    assert_eq!(take("+\n+end\n").as_deref(), Some("a\n    b\nc\n    b\n\nend\n"));
    assert_eq!(take("     b\n+new\n"), None);
    assert_eq!(take(" b\n+new\n"), None);
    assert_eq!(take(" d\n+new\n"), None);
}
