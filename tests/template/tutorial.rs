//! Follows the tutorial as written.

use crate::recipe::Recipe;
use crate::recipes::passes;

#[test]
fn the_tutorial_leads_to_a_working_feature_in_ten_lines() {
    let tutorial = Recipe::document("cluster/docs/tutorial.md");
    let lines = tutorial.added(|file| !file.starts_with("tests/"));
    assert!((1..=10).contains(&lines), "{lines} lines");

    passes(&tutorial, "everyone_sees_the_clicks_also_players_who_join_later");
}

/// What page.md says about the list of rooms.
#[test]
fn the_steps_for_a_list_of_rooms_work() {
    let workshop = Recipe::document("cluster/docs/page.md").follow_from_blank();
    workshop.check_types().expect("the page is in order");
}
