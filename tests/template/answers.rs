//! Answers: defaults, command line, file and environment.

use std::fs;

use crate::helpers::{Folder, Template, read};

#[test]
fn answers_can_be_given_on_the_command_line() {
    let (template, folder) = (Template::new(), Folder::new());
    let answers = ["-d", "lobby_port=65535", "-d", "seats=1", "-d", "example=arena"];
    template.generate(folder.path()).args(&["--name", "my-dots"]).args(&answers).succeed();
    assert_eq!(defaults(&folder, "my-dots"), ("65535".into(), "1".into()));
}

#[test]
fn answers_can_come_from_a_file() {
    let (template, folder) = (Template::new(), Folder::new());
    let file = folder.path().join("answers.toml");
    // As a number and as text.
    fs::write(&file, "[values]\nlobby_port = 4000\nseats = \"10000\"\nexample = \"arena\"\n")
        .unwrap();
    let file = file.to_str().unwrap();
    template.generate(folder.path()).args(&["--name", "dots", "--values-file", file]).succeed();
    assert_eq!(defaults(&folder, "dots"), ("4000".into(), "10000".into()));
}

#[test]
fn answers_can_come_from_the_environment() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template
        .generate(folder.path())
        .env("CARGO_GENERATE_VALUE_PROJECT_NAME", "my_dots")
        .env("CARGO_GENERATE_VALUE_EXAMPLE", "arena")
        .env("CARGO_GENERATE_VALUE_LOBBY_PORT", "80")
        .env("CARGO_GENERATE_VALUE_SEATS", "25");
    generate.succeed();
    assert_eq!(defaults(&folder, "my_dots"), ("80".into(), "25".into()));
}

#[test]
fn answers_on_the_command_line_come_first() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template
        .generate(folder.path())
        .args(&["--name", "dots", "--silent", "-d", "lobby_port=4001"])
        .env("CARGO_GENERATE_VALUE_LOBBY_PORT", "4002")
        .env("CARGO_GENERATE_VALUE_SEATS", "2");
    generate.succeed();
    assert_eq!(defaults(&folder, "dots"), ("4001".into(), "2".into()));
}

#[test]
fn a_name_in_camel_case_becomes_a_name_for_cargo() {
    let (template, folder) = (Template::new(), Folder::new());
    template.generate(folder.path()).args(&["--name", "MyDots", "--silent"]).succeed();
    assert_eq!(folder.names(), ["my-dots"]);
    let manifest = read(folder.path(), "my-dots/Cargo.toml");
    assert!(manifest.contains("\nname = \"my-dots\"\n"), "{manifest}");
}

/// The port and the seats in `src/defaults.rs`.
fn defaults(folder: &Folder, project: &str) -> (String, String) {
    let source = read(&folder.path().join(project), "src/defaults.rs");
    assert!(source.contains(&format!("name: \"{project}\",")), "{source}");
    let value = |before: &str| {
        let (_, rest) = source.split_once(before).expect(&source);
        rest.split_once(',').expect(&source).0.to_owned()
    };
    (value("port: "), value("seats: "))
}
