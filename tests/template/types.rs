//! The page's types follow the messages: a renamed field is an error in Rust and in the page.

use std::fs;

use crate::helpers::{Folder, Template, Workshop, must, read};

#[test]
fn a_field_that_is_renamed_is_found_in_the_page() {
    let folder = Folder::new();
    Template::new().generate(folder.path()).args(&["--name", "dots", "--silent"]).succeed();
    let workshop = Workshop::take(&folder.path().join("dots"));
    let project = &workshop.project;
    workshop.check_types().expect("the page is in order");

    let messages = read(project, "src/messages.rs");
    let changed =
        messages.replace("Steer { x: f32,", "Steer { #[serde(rename = \"east\")] x: f32,");
    assert_ne!(messages, changed);
    fs::write(project.join("src/messages.rs"), changed).unwrap();

    // A development lobby writes them.
    must(&mut workshop.cargo(&["test", "--locked", "--test", "story", "the_page_is_served"]));
    assert!(read(project, "static/messages.d.ts").contains("\"steer\": { east: number"));

    let complaint = workshop.check_types().expect_err("the page still says x");
    assert!(complaint.contains("static/client.js") && complaint.contains("east"), "{complaint}");
}
