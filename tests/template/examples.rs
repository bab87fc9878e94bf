//! Examples other than the first are folders of whole files in `template-hooks/examples`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::helpers::{Folder, Template, examples, file_of, files, read};

#[test]
fn an_example_replaces_whole_files_and_adds_its_own() {
    let (template, folder) = (Template::new(), Folder::new());
    // What looks like Liquid is kept: hook files are not rendered.
    let room = "//! Another room: {{project-name}} {% raw %}\n";
    template.write("template-hooks/examples/chess/src/room.rs", room);
    template.write("template-hooks/examples/chess/static/client.js", "chess();\n");
    template.write("template-hooks/examples/chess/static/board.js", "board();\n");
    template.write("template-hooks/examples/chess/static/pieces/king.svg", "<svg />\n");
    let config = read(template.path(), "cargo-generate.toml");
    let (before, rest) = config.split_once("choices = [").expect("choices");
    let (choices, after) = rest.split_once(']').expect("the end of the choices");
    let config = format!("{before}choices = [{choices}, \"chess\"]{after}");
    template.write("cargo-generate.toml", config);

    template.generate(folder.path()).args(&["--name", "arena", "--silent"]).succeed();
    let answers = ["--name", "chess", "--silent", "-d", "example=chess"];
    template.generate(folder.path()).args(&answers).succeed();

    let (arena, mut chess) =
        (files(&folder.path().join("arena")), files(&folder.path().join("chess")));
    for (path, content) in [
        ("src/room.rs", room),
        ("static/board.js", "board();\n"),
        ("static/client.js", "chess();\n"),
        ("static/pieces/king.svg", "<svg />\n"),
    ] {
        assert_eq!(String::from_utf8_lossy(&chess.remove(path).expect(path)), content, "{path}");
    }
    // Everything else is as in the other project, except for the name.
    for (path, content) in chess {
        let names =
            ["Cargo.toml", "Cargo.lock", "README.md", "src/defaults.rs", "static/index.html"];
        let named = names.contains(&&*path);
        assert!(named || content == arena[&path], "{path}");
    }
    assert!(!arena.contains_key("static/board.js"));
}

#[test]
fn each_example_has_a_chaos_and_a_load_test_of_its_own() {
    let (template, folder) = (Template::new(), Folder::new());
    for (example, enter, says) in [
        ("arena", "CHAOS_ENTER-play}", "\"steer\""),
        ("blank", "CHAOS_ENTER-play}", "\"hello\""),
        ("compute", "CHAOS_ENTER-'render ", "\"render\""),
        ("turns", "CHAOS_ENTER-find_opponent}", "\"find_opponent\""),
    ] {
        let answers = ["--name", example, "--silent", "-d", &format!("example={example}")];
        template.generate(folder.path()).args(&answers).succeed();
        let project = folder.path().join(example);
        assert!(read(&project, "tests/chaos").contains(enter), "{example}");
        let mode = fs::metadata(project.join("tests/chaos")).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{example}: not executable");
        assert!(project.join("cluster/examples/chaos/main.rs").is_file(), "{example}");
        assert!(read(&project, "examples/loadtest.rs").contains(says), "{example}");
    }
}

/// Each further folder makes it harder for a newcomer to find their own files.
#[test]
fn outside_the_structure_a_project_shows_at_most_33_files() {
    let (template, folder) = (Template::new(), Folder::new());
    for example in examples() {
        let answers = ["--name", &example, "--silent", "-d", &format!("example={example}")];
        template.generate(folder.path()).args(&answers).succeed();
        let mut files = files(&folder.path().join(&example));
        files.retain(|path, _| !path.starts_with("cluster/") && !path.starts_with('.'));
        assert!(files.len() <= 33, "{example}: {} {:?}", files.len(), files.keys());
    }
}

#[test]
fn what_all_pages_show_has_the_same_styles() {
    let common = |example: &String| {
        let styles = file_of(example, "static/style.css");
        styles.split_once("/* What this page shows. */\n").expect(example).0.to_owned()
    };
    let styles: Vec<_> = examples().iter().map(common).collect();
    assert!(styles.iter().all(|one| *one == styles[0]), "copy one of them to the others");
}
