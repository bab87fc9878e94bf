//! The page's types follow the messages: a field that has another name is noticed in Rust and in the page.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use crate::{
    builds::target,
    helpers::{REPOSITORY, Template, cargo, must, read, run, workshop},
};

#[test]
fn a_field_that_is_called_otherwise_is_found_by_the_tests_and_then_in_the_page() {
    let (folder, _lock) = workshop("types");
    let answers = ["--name", "dots", "--silent", "--vcs", "none", "--no-workspace"];
    Template::new().generate(&folder).args(&answers).succeed();
    let project = folder.join("dots");
    check_types(&project).expect("the page is in order");

    let messages = read(&project, "src/messages.rs");
    let changed =
        messages.replace("Steer { x: f32,", "Steer { #[serde(rename = \"east\")] x: f32,");
    assert_ne!(messages, changed);
    fs::write(project.join("src/messages.rs"), changed).unwrap();

    // Once it says so; then the types are new.
    let (target, _turn) = target();
    let mut test = cargo(&project);
    test.env("CARGO_TARGET_DIR", target);
    test.args(["test", "--locked", "--quiet", "--lib", "the_pages_types"]);
    let (success, said) = run(&mut test);
    assert!(!success && said.contains("static/messages.d.ts was out of date"), "{said}");
    must(&mut test);
    assert!(read(&project, "static/messages.d.ts").contains("\"steer\": { east: number"));

    let complaint = check_types(&project).expect_err("the page still says x");
    assert!(complaint.contains("static/client.js") && complaint.contains("east"), "{complaint}");
}

/// `npm run check`: `Err` is what it complains of.
pub fn check_types(project: &Path) -> Result<(), String> {
    let (libraries, here) =
        (Path::new(REPOSITORY).join("node_modules"), project.join("node_modules"));
    assert!(
        libraries.join("typescript").is_dir(),
        "TypeScript is missing: run `npm ci` in {REPOSITORY}"
    );
    if !here.exists() {
        symlink(libraries, here).unwrap();
    }
    let (success, said) = run(Command::new("npm").current_dir(project).args(["run", "check"]));
    if success { Ok(()) } else { Err(said) }
}
