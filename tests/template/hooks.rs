//! The blank example and `cluster/docs/hooks.md` have every hook, and no example's own files are
//! long.

mod reference;

use std::path::Path;
use std::{env, fs};

use self::reference::{Default, Hook, LOBBY_HOOKS, ROOM_HOOKS, hooks};
use crate::helpers::{REPOSITORY, YOURS, read, repository};

/// The hooks of the page, and where they are defined.
const PAGE: (&str, &str) = ("cluster/web/types.d.ts", "\nexport type Hooks<");

#[test]
fn the_blank_example_has_every_hook_and_each_says_in_the_log_that_it_was_called() {
    let (path, start) = PAGE;
    let page = names_in(&block(&read(Path::new(REPOSITORY), path), start).expect(path));
    for (expected, example, own) in [
        (names(LOBBY_HOOKS, "Lobby"), "src/server.rs", "impl Lobby for"),
        (names(LOBBY_HOOKS, "RoomManager"), "src/room_manager.rs", "impl RoomManager<Game> for"),
        (names(ROOM_HOOKS, "Room"), "src/room.rs", "impl Room for"),
        (page, "static/client.js", "new Cluster({"),
    ] {
        assert!(expected.len() >= 4, "{example}: {expected:?}");
        let path = format!("template-hooks/examples/blank/{example}");
        let own = block(&read(Path::new(REPOSITORY), &path), own).expect(&path);
        assert_eq!(sorted(names_in(&own)), sorted(expected), "{example}");
        // Each hook has a line about it.
        assert_eq!(own.matches("  // HOOK: ").count(), names_in(&own).len(), "{example}");
        for hook in own.split("  // HOOK: ").skip(1) {
            let (about, code) = hook.split_once('\n').unwrap();
            let [name] = &names_in(code)[..] else { panic!("one hook, not {hook}") };
            let default = about.contains("efault") || example.ends_with(".js");
            assert!(about.ends_with('.') && default, "{name}: {about}");
            assert!(code.contains(&format!("\"{name}\"")), "{name} says nothing");
        }
    }
}

#[test]
fn the_reference_of_the_hooks_is_up_to_date() {
    let path = Path::new(REPOSITORY).join(reference::PATH);
    let text = reference::text();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{} is out of date: its first line says what to do", reference::PATH);
}

#[test]
fn each_hook_says_what_its_default_does() {
    for (path, of) in [(LOBBY_HOOKS, "Lobby"), (LOBBY_HOOKS, "RoomManager"), (ROOM_HOOKS, "Room")] {
        for Hook { item, default } in hooks(path, of).hooks {
            // Also where a line ends between the words.
            let docs = item.docs.replace('\n', " ");
            let says = |what| docs.contains(what);
            let is_true = match default {
                Default::None => says("No default."),
                Default::Nothing => says("Default: nothing"),
                Default::Something => says("Default: "),
            };
            assert!(is_true, "{}: {docs}", item.name);
        }
    }
}

#[test]
fn what_a_user_edits_fits_on_a_few_screens() {
    for (path, content) in repository() {
        let example = path.strip_prefix("template-hooks/examples/");
        let file = example.and_then(|path| Some(path.split_once('/')?.1)).unwrap_or(&path);
        if YOURS.contains(&file) {
            let lines = String::from_utf8_lossy(&content).lines().count();
            assert!(lines < 120, "{path}: {lines} lines");
        }
    }
}

#[test]
fn the_queue_that_the_structure_tests_is_the_one_of_the_example() {
    let [tested, example] =
        ["cluster/parts/queue.rs", "template-hooks/examples/turns/src/queue.rs"]
            .map(|path| read(Path::new(REPOSITORY), path));
    assert!(tested == example, "copy one of them to the other");
}

fn names(path: &str, of: &str) -> Vec<String> {
    hooks(path, of).hooks.into_iter().map(|hook| hook.item.name).collect()
}

/// From the line that contains `start` to the next that begins with a brace.
fn block(text: &str, start: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    rest.split("\n}").next().map(str::to_owned)
}

/// `fn on_join(` in Rust, `roomEntered(` or `roomEntered?(` in JavaScript.
fn names_in(block: &str) -> Vec<String> {
    let hook = |line: &str| {
        let (before, _) = line.split_once('(')?;
        let javascript = before.strip_prefix("  ").map(|name| name.trim_end_matches('?'));
        let name = before.split_once("fn ").map(|(_, name)| name).or(javascript)?;
        name.chars().all(|c| c.is_alphanumeric() || c == '_').then(|| name.to_owned())
    };
    block.lines().filter_map(hook).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
