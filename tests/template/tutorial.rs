//! Follows the tutorial as written.

use crate::recipe::Recipe;

const TUTORIAL: &str = "template-hooks/files/README.md";
const TITLE: &str = "## From blank to a working feature in ten lines";

#[test]
fn the_tutorial_leads_to_a_working_feature_in_ten_lines() {
    let tutorial = Recipe::section(TUTORIAL, TITLE);
    let lines = tutorial.added(|file| !file.starts_with("tests/"));
    assert!((1..=10).contains(&lines), "{lines} lines");

    let workshop = tutorial.follow_from_blank();
    workshop.lint();
    let said = workshop.test();
    assert!(said.contains("everyone_sees_the_clicks"), "{said}");
    // The lobby of the test has written the new types.
    workshop.check_types().expect("the page is in order");
}
