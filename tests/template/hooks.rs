//! The blank example and the READMEs have every hook, and no example's own files are long.

use std::path::Path;

use crate::helpers::{REPOSITORY, read, repository};

/// The files that a user edits.
const YOURS: [&str; 5] =
    ["src/server.rs", "src/room_manager.rs", "src/room.rs", "src/messages.rs", "static/client.js"];

/// Where the hooks are defined.
const LOBBY: &str = "\npub trait Lobby:";
const ROOMS: &str = "\npub trait RoomManager<";
const ROOM: &str = "\npub trait Room:";
const PAGE: &str = "\nexport type Hooks<";

#[test]
fn the_blank_example_has_every_hook_and_each_says_in_the_log_that_it_was_called() {
    for (hooks, example, own) in [
        (LOBBY, "src/server.rs", "impl Lobby for"),
        (ROOMS, "src/room_manager.rs", "impl RoomManager<Game> for"),
        (ROOM, "src/room.rs", "impl Room for"),
        (PAGE, "static/client.js", "new Cluster({"),
    ] {
        let expected = hooks_in(&definition(hooks));
        assert!(expected.len() >= 4, "{hooks}: {expected:?}");
        let path = format!("template-hooks/examples/blank/{example}");
        let own = block(&read(Path::new(REPOSITORY), &path), own).expect(&path);
        assert_eq!(sorted(hooks_in(&own)), sorted(expected.clone()), "{example}");
        // Each hook has a line about it.
        for hook in own.split("  // HOOK: ").skip(1) {
            let (about, code) = hook.split_once('\n').unwrap();
            let [name] = &hooks_in(code)[..] else { panic!("one hook, not {hook}") };
            let default = about.contains("efault") || example.ends_with(".js");
            assert!(about.ends_with('.') && default, "{name}: {about}");
            assert!(code.contains(&format!("\"{name}\"")), "{name} says nothing");
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
        ["cluster/tests/game/queue.rs", "template-hooks/examples/turns/src/queue.rs"]
            .map(|path| read(Path::new(REPOSITORY), path));
    assert!(tested == example, "copy one of them to the other");
}

#[test]
fn both_readmes_have_the_same_table_of_all_hooks() {
    let table = |path: &str| {
        let text = read(Path::new(REPOSITORY), path);
        let (_, table) = text.split_once("| hook | file | when | by default |\n").expect("a table");
        table.split("\n\n").next().unwrap().to_owned()
    };
    let ours = table("README.md");
    assert_eq!(ours, table("template-hooks/files/README.md"));
    for hooks in [LOBBY, ROOMS, ROOM, PAGE] {
        for hook in hooks_in(&definition(hooks)) {
            assert!(ours.contains(&format!("`{hook}`")), "no {hook} in README.md");
        }
    }
}

#[test]
fn the_readme_says_how_long_each_example_is() {
    let readme = read(Path::new(REPOSITORY), "README.md");
    for example in ["arena", "turns", "compute", "blank"] {
        let folder = match example {
            "arena" => REPOSITORY.to_owned(),
            _ => format!("{REPOSITORY}/template-hooks/examples/{example}"),
        };
        let lines = YOURS.map(|path| read(Path::new(&folder), path).lines().count().to_string());
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{example}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {example}"));
        assert!(row.ends_with(&format!("| {} |", lines.join(", "))), "{row} is not {lines:?}");
    }
}

/// The item that begins like this, in any file of the structure.
fn definition(start: &str) -> String {
    let structure = |path: &str| path.starts_with("cluster/src/") || path.ends_with(".d.ts");
    let mut files = repository().into_iter().filter(|(path, _)| structure(path));
    let found = files.find_map(|(_, content)| block(&String::from_utf8_lossy(&content), start));
    found.unwrap_or_else(|| panic!("no {start}"))
}

/// From the line that contains `start` to the next that begins with a brace.
fn block(text: &str, start: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    rest.split("\n}").next().map(str::to_owned)
}

/// `fn on_join(` in Rust, `roomEntered(` or `roomEntered?(` in JavaScript.
fn hooks_in(block: &str) -> Vec<String> {
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
