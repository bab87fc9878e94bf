//! Generated projects are formatted, free of warnings, and pass their own tests. The first run
//! takes long; later ones build only what has changed.

use std::io::{Write as _, stderr};
use std::time::Instant;

use crate::helpers::{Folder, Template, Workshop, examples, read, run};

/// Name, port, seats, and whether the project's own tests run, as they do for the answers furthest
/// from the defaults.
const ANSWERS: [(&str, &str, &str, bool); 3] = [
    ("a-name-of-64-characters-which-is-as-long-as-a-projects-name-gets", "3000", "8", false),
    ("app", "80", "10000", false),
    ("z_9", "65535", "1", true),
];

#[test]
fn every_combination_of_answers_is_formatted_linted_and_tested() {
    let template = Template::new();
    for example in examples() {
        // The answers change the same files in all examples.
        let answers = if example == "arena" { &ANSWERS[..] } else { &ANSWERS[2..] };
        for &(name, port, seats, tested) in answers {
            let folder = Folder::new();
            let start = Instant::now();
            let port_is = format!("lobby_port={port}");
            let (seats_is, example_is) = (format!("seats={seats}"), format!("example={example}"));
            let answers = ["-d", &port_is, "-d", &seats_is, "-d", &example_is];
            template.generate(folder.path()).args(&["--name", name]).args(&answers).succeed();

            let workshop = Workshop::take(&folder.path().join(name));
            workshop.lint();
            if tested {
                let types = read(&workshop.project, "static/messages.d.ts");
                let said = workshop.test();
                // A lobby of these tests has written the file if it was out of date.
                assert_eq!(read(&workshop.project, "static/messages.d.ts"), types, "{example}");
                assert!(said.contains("Running tests/story.rs"), "{said}");
                workshop.check_types().expect("the page is in order");
            }
            tell(&format!(
                "{name} ({example}, port {port}, {seats} seats): generated, formatted, linted{} in {:.0?}",
                if tested { ", tested" } else { "" },
                start.elapsed()
            ));
        }
    }
}

/// Prints at once and always: captured output is shown only if the test fails.
fn tell(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// A panic in a hook must end that hook, or its room, and nothing else.
#[test]
fn a_profile_that_aborts_on_panic_is_refused_with_the_reason() {
    let (template, folder) = (Template::new(), Folder::new());
    let answers = ["-d", "example=blank", "-d", "lobby_port=3000", "-d", "seats=8"];
    template.generate(folder.path()).args(&["--name", "app"]).args(&answers).succeed();
    let manifest = read(folder.path(), "app/Cargo.toml");
    let aborting = manifest.replace("[profile.dev]\n", "[profile.dev]\npanic = \"abort\"\n");
    assert_ne!(aborting, manifest);
    std::fs::write(folder.path().join("app/Cargo.toml"), aborting).unwrap();
    let workshop = Workshop::take(&folder.path().join("app"));
    let (passed, said) = run(&mut workshop.cargo(&["check", "--locked"]));
    assert!(!passed && said.contains("remove it from the profiles in Cargo.toml"), "{said}");
}
