//! Where templates come from, and where projects go.

use std::{fs, process::Command};

use crate::helpers::{Folder, Generate, Template, files, must, read};

#[test]
fn a_git_repository_gives_the_same_project_as_its_folder() {
    let (template, folder) = (Template::new(), Folder::new());
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(template.path()).args(args);
        for person in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{person}_NAME"), "somebody");
            git.env(format!("GIT_{person}_EMAIL"), "somebody@example.org");
        }
        must(&mut git)
    };
    git(&["init", "--quiet", "--initial-branch", "trunk"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "All of it"]);

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

#[test]
fn a_folder_that_exists_is_refused_and_stays_as_it_is() {
    let (template, folder) = (Template::new(), Folder::new());
    fs::create_dir(folder.path().join("dots")).unwrap();
    let said = template.generate(folder.path()).args(&["--name", "dots", "--silent"]).fail();
    assert!(said.contains("Target directory already exists"), "{said}");
    assert!(files(folder.path()).is_empty());
}
