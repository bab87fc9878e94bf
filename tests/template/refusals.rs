//! Bad answers are refused with a sentence that says what is allowed.

use std::fs;

use crate::helpers::{Folder, Template, files};

const SHAPE: &str = "A name starts with a letter and contains the letters a to z, digits, and single \
                     hyphens or underscores between them: 64 characters at most.";
const RESERVED: &str = "Rust or Cargo reserves this word";
const CRATE: &str = "The project depends on a crate of this name";

#[test]
fn bad_names_are_refused_and_nothing_is_left_behind() {
    let (template, folder) = (Template::new(), Folder::new());
    let long = "a".repeat(65);
    let shapes =
        ["", "1up", "_dots", "dots-", "my--dots", "my dots", "dots!", "dößi", "点", "../up", &long];
    let reserved = [
        "test",
        "Test",
        "core",
        "std",
        "alloc",
        "proc-macro",
        "proc_macro",
        "self",
        "Self",
        "async",
        "gen",
        "try",
        "true",
        "build",
        "deps",
        "examples",
    ];
    let crates = ["tokio", "serde_json", "axum", "Hyper", "tokio-tungstenite", "cluster"];
    let refusals = (shapes.iter().map(|name| (name, SHAPE)))
        .chain(reserved.iter().map(|name| (name, RESERVED)))
        .chain(crates.iter().map(|name| (name, CRATE)));
    for (name, sentence) in refusals {
        let said = template.generate(folder.path()).args(&["--name", name, "--silent"]).fail();
        let start = format!("\"{name}\" cannot be the project's name. {sentence}");
        assert!(said.contains(&start), "{name}: {said}");
        assert_eq!(folder.names(), [""; 0], "{name}");
    }
}

#[test]
fn names_that_look_like_bad_ones_are_accepted() {
    let template = Template::new();
    // `app` and `server` are the names of the library and of the program.
    for name in ["x", "tests", "core-2", "my_game", "selfie", "app", "server", &"a".repeat(64)] {
        let folder = Folder::new();
        template.generate(folder.path()).args(&["--name", name, "--silent"]).succeed();
        assert_eq!(folder.names(), [name]);
    }
}

/// cargo-generate has made the project's folder before it looks at these answers, and leaves it.
#[test]
fn bad_numbers_are_refused_and_only_an_empty_folder_is_left_behind() {
    let template = Template::new();
    let refusals = [
        (
            "lobby_port",
            "the lobby's port",
            "65535",
            &["80000", "65536", "99999999999999999999"][..],
        ),
        ("seats", "the number of seats", "10000", &["10001", "99999999999999999999"][..]),
    ];
    for (key, what, highest, too_high) in refusals {
        for bad in ["0", "-1", "abc", "", "08", "3e3", "2.5", "1 0", "٣"].iter().chain(too_high) {
            let folder = Folder::new();
            let generate = template.generate(folder.path());
            let said = generate
                .args(&["--name", "dots", "--silent", "-d", &format!("{key}={bad}")])
                .fail();
            let left = folder.path().join("dots");
            let sentence = format!(
                "\"{bad}\" cannot be {what}. It is a whole number from 1 to {highest}. \
                 (An empty folder is left: {})",
                left.display()
            );
            assert!(said.contains(&sentence), "{key}={bad}: {said}");
            assert_eq!(folder.names(), ["dots"], "{key}={bad}");
            assert!(files(&left).is_empty(), "{key}={bad}");
        }
    }
}

#[test]
fn so_are_bad_numbers_from_a_file_and_from_the_environment() {
    let (template, folder) = (Template::new(), Folder::new());
    let file = folder.path().join("answers.toml");
    fs::write(&file, "[values]\nlobby_port = 80000\n").unwrap();
    let generate = template.generate(folder.path()).args(&["--name", "dots", "--silent"]);
    let said = generate.args(&["--values-file", file.to_str().unwrap()]).fail();
    assert!(said.contains("\"80000\" cannot be the lobby's port."), "{said}");
    fs::remove_dir(folder.path().join("dots")).expect("an empty folder");

    let generate = template.generate(folder.path()).args(&["--name", "dots", "--silent"]);
    let said = generate.env("CARGO_GENERATE_VALUE_SEATS", "true").fail();
    assert!(said.contains("\"true\" cannot be the number of seats."), "{said}");
    fs::remove_dir(folder.path().join("dots")).expect("an empty folder");
}

#[test]
fn a_bad_name_from_the_environment_is_refused_too() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template
        .generate(folder.path())
        .env("CARGO_GENERATE_VALUE_PROJECT_NAME", "test")
        .args(&["-d", "lobby_port=3000", "-d", "seats=8", "-d", "example=arena"]);
    let said = generate.fail();
    assert!(said.contains(RESERVED) && said.contains("(An empty folder is left: "), "{said}");
    assert!(files(folder.path()).is_empty());
}

#[test]
fn an_unknown_example_is_refused() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template.generate(folder.path());
    let said = generate.args(&["--name", "dots", "--silent", "-d", "example=chess"]).fail();
    assert!(said.contains("\"chess\" is not a valid value for example"), "{said}");
    assert!(files(folder.path()).is_empty());
}
