//! Sources of the template, and destinations of projects.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::helpers::{Folder, Generate, NO_WORKSPACE, Template, cargo, files, must, read};

#[test]
fn a_git_repository_gives_the_same_project_as_its_folder() {
    let (template, folder) = (Template::new(), Folder::new());
    template.commit();

    let path = template.path().to_str().unwrap();
    let sources = [
        ("--path", path.to_owned()),
        ("--git", path.to_owned()),
        ("--git", format!("file://{path}")),
    ];
    let mut projects = Vec::new();
    for (how, source) in sources {
        let place = folder.path().join(projects.len().to_string());
        fs::create_dir(&place).unwrap();
        Generate::new(&place, how, source).args(&["--name", "dots", "--silent"]).succeed();
        assert!(place.join("dots/.git").is_dir(), "a new repository");
        projects.push(files(&place));
    }
    assert!(projects[0] == projects[1] && projects[0] == projects[2]);
    assert!(projects[0].contains_key("dots/src/main.rs"));
}

#[test]
fn init_fills_a_folder_and_keeps_what_is_in_it() {
    let (template, folder) = (Template::new(), Folder::new());
    fs::write(folder.path().join("README.md"), "mine").unwrap();
    let said =
        template.generate(folder.path()).args(&["--init", "--name", "dots", "--silent"]).succeed();
    assert!(said.contains("dots is ready") && !said.contains("cd dots"), "{said}");
    assert!(said.contains(".gitignore"), "{said}");
    assert_eq!(read(folder.path(), "README.md"), "mine");
    assert!(read(folder.path(), "Cargo.toml").contains("\nname = \"dots\"\n"));
    assert!(folder.path().join("src/main.rs").is_file());
}

#[test]
fn init_refuses_a_folder_that_has_a_project() {
    let (template, folder) = (Template::new(), Folder::new());
    fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"mine\"\n").unwrap();
    let before = files(folder.path());
    let said =
        template.generate(folder.path()).args(&["--init", "--name", "dots", "--silent"]).fail();
    assert!(said.contains("Without --init the project gets a folder of its own."), "{said}");
    assert!(files(folder.path()) == before);
}

#[test]
fn init_with_a_bad_number_leaves_nothing_behind() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template.generate(folder.path());
    let said = generate.args(&["--init", "--name", "dots", "--silent", "-d", "seats=0"]).fail();
    assert!(said.contains("from 1 to 10000") && !said.contains("empty folder"), "{said}");
    assert_eq!(folder.names(), [""; 0]);
}

/// cargo-generate would rewrite the other's manifest, and Cargo refuses a workspace within a
/// workspace.
#[test]
fn in_a_workspace_a_project_is_refused_without_no_workspace() {
    let (template, folder) = (Template::new(), outer_workspace());
    let before = files(folder.path());
    for args in [&[][..], &NO_WORKSPACE[..1]] {
        let generate = template.generate(folder.path());
        let said = generate.args(&["--name", "dots", "--silent"]).args(args).fail();
        assert!(said.contains("`--no-workspace -d no_workspace=true`"), "{said}");
        let left = folder.path().join("dots");
        assert!(said.contains(&format!("(An empty folder is left: {})", left.display())), "{said}");
        assert!(files(folder.path()) == before);
        fs::remove_dir(left).expect("an empty folder");
    }
}

#[test]
fn in_a_workspace_a_project_is_a_workspace_of_its_own_and_the_other_stays_as_it_was() {
    let (template, folder) = (Template::new(), outer_workspace());
    let before = files(folder.path());
    // In the workspace's folder, and in a member's.
    for place in ["dots", "mine/dots"] {
        let inside = folder.path().join(place);
        let generate = template.generate(inside.parent().unwrap());
        let said = generate.args(&["--name", "dots", "--silent"]).args(&NO_WORKSPACE).succeed();
        assert!(said.contains("list it in `exclude`"), "{said}");
        for package in [&inside, &inside.join("cluster")] {
            assert_eq!(root_of(package), inside.to_str().unwrap());
        }
        assert_eq!(root_of(&folder.path().join("mine")), folder.path().to_str().unwrap());
    }
    let mut after = files(folder.path());
    after.retain(|path, _| !path.contains("dots/"));
    assert!(after == before);
}

/// A workspace with one member, and a comment that a rewrite would lose.
fn outer_workspace() -> Folder {
    let folder = Folder::new();
    fs::create_dir_all(folder.path().join("mine/src")).unwrap();
    let root = "[workspace] # Keep this.\nmembers = [\"mine\"]\nresolver = \"3\"\n";
    let mine = "[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    fs::write(folder.path().join("Cargo.toml"), root).unwrap();
    fs::write(folder.path().join("mine/Cargo.toml"), mine).unwrap();
    fs::write(folder.path().join("mine/src/lib.rs"), "").unwrap();
    folder
}

/// The folder of the workspace that a package belongs to, as Cargo sees it.
fn root_of(package: &Path) -> String {
    let metadata = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let metadata: Value = serde_json::from_str(&must(cargo(package).args(metadata))).expect("JSON");
    metadata["workspace_root"].as_str().expect("a path").to_owned()
}

#[test]
fn a_folder_that_exists_is_refused_and_stays_as_it_is() {
    let (template, folder) = (Template::new(), Folder::new());
    fs::create_dir(folder.path().join("dots")).unwrap();
    let said = template.generate(folder.path()).args(&["--name", "dots", "--silent"]).fail();
    assert!(said.contains("Target directory already exists"), "{said}");
    assert!(files(folder.path()).is_empty());
}
