//! Generated projects are formatted, free of warnings, and pass their own tests. They share one target
//! folder, which is kept: the first run takes long, later ones build only what has changed.

use std::{
    fs::{self, File},
    io::{Write as _, stderr},
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{
    helpers::{Template, cargo, must, read, workshop},
    types::check_types,
};

/// Name, port, seats, and whether the project's own tests run: they do so with the answers that are
/// furthest from the defaults.
const ANSWERS: [(&str, &str, &str, bool); 3] = [
    ("my-cluster", "3000", "8", false),
    ("app", "80", "10000", false),
    ("z_9", "65535", "1", true),
];

#[test]
fn every_combination_of_answers_is_formatted_linted_and_tested() {
    let template = Template::new();
    for example in examples(&template) {
        // What the answers change is the same in all examples.
        let answers = if example == "arena" { &ANSWERS[..] } else { &ANSWERS[2..] };
        for &(name, port, seats, tested) in answers {
            let (folder, _lock) = workshop(&format!("{example}-{name}"));
            let start = Instant::now();
            let port_is = format!("lobby_port={port}");
            let (seats_is, example_is) = (format!("seats={seats}"), format!("example={example}"));
            let answers = ["-d", &port_is, "-d", &seats_is, "-d", &example_is];
            let place = ["--name", name, "--vcs", "none", "--no-workspace"];
            template.generate(&folder).args(&place).args(&answers).succeed();

            let project = folder.join(name);
            let (target, _turn) = target();
            let cargo =
                |args: &[&str]| must(cargo(&project).env("CARGO_TARGET_DIR", &target).args(args));
            cargo(&["fmt", "--check"]);
            cargo(&["clippy", "--quiet", "--all-targets", "--locked", "--", "-D", "warnings"]);
            if tested {
                let said = cargo(&["test", "--locked"]);
                assert!(said.contains("Running tests/story.rs"), "{said}");
                check_types(&project).expect("the page is in order");
            }
            tell(&format!(
                "{name} ({example}, port {port}, {seats} seats): generated, formatted, linted{} in {:.0?}",
                if tested { ", tested" } else { "" },
                start.elapsed()
            ));
        }
    }
}

#[test]
fn a_project_in_a_workspace_becomes_a_member_and_builds() {
    let template = Template::new();
    let (folder, _lock) = workshop("workspace");
    let own = "[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    fs::create_dir_all(folder.join("mine/src")).unwrap();
    fs::write(folder.join("mine/Cargo.toml"), own).unwrap();
    fs::write(folder.join("mine/src/lib.rs"), "").unwrap();
    // The same profile as a project of its own has, so that its dependencies are not built again.
    let profile = "[profile.dev]\ndebug = \"line-tables-only\"\n";
    let root = format!("[workspace]\nmembers = [\"mine\"]\nresolver = \"3\"\n\n{profile}");
    fs::write(folder.join("Cargo.toml"), root).unwrap();

    let said = template.generate(&folder).args(&["--name", "dots", "--silent"]).succeed();
    assert!(said.contains("Project added as member to workspace"), "{said}");
    assert!(said.contains("may be a workspace's"), "{said}");

    // The user's manifest still says what it said, and has the new member.
    let root = read(&folder, "Cargo.toml");
    for part in ["\"dots\"", "\"mine\"", "resolver = \"3\"", profile] {
        assert!(root.contains(part), "no {part} in {root}");
    }
    assert_eq!(read(&folder, "mine/Cargo.toml"), own);
    assert!(!folder.join("dots/.git").exists(), "a member gets no repository of its own");

    // Cargo adds the other member to the lock file by itself: it needs nothing from outside.
    fs::copy(folder.join("dots/Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let (target, _turn) = target();
    let mut check = cargo(&folder);
    must(check.args(["check", "--workspace", "--offline"]).env("CARGO_TARGET_DIR", target));
}

/// The target folder. Every project's program has the same name there, so one of them is tested at a
/// time: as long as the file is held.
pub fn target() -> (PathBuf, File) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("template");
    fs::create_dir_all(&target).unwrap();
    let lock = File::create(target.join("tests.lock")).unwrap();
    lock.lock().unwrap();
    (target, lock)
}

/// The choices in cargo-generate.toml.
fn examples(template: &Template) -> Vec<String> {
    let config = read(template.path(), "cargo-generate.toml");
    let (_, rest) = config.split_once("choices = [").expect("choices");
    let (choices, _) = rest.split_once(']').expect("the end of the choices");
    choices.split(',').map(|choice| choice.trim().trim_matches('"').to_owned()).collect()
}

/// Says it at once and always: what is printed would be shown only if the test failed.
fn tell(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
