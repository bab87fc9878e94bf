//! `cluster/update.sh`: a project takes a newer structure and keeps what its user has changed.

mod releases;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::helpers::{Folder, HOST, REPOSITORY, Workshop, cargo, files, git, must, read};
use crate::recipe::Recipe;
use crate::update::releases::{EARLIER, LIBRARY, NEXT, OWN, Project, Upstream, copy};

/// What the CHANGELOG says since 0.3.0, for the files of a user: file, before, after.
const EDITS: [(&str, &str, &str); 19] = [
    (
        "src/main.rs",
        "{defaults::DEFAULTS, room::Arena, server::Server}",
        "{defaults::DEFAULTS, server::Server}",
    ),
    (
        "src/main.rs",
        "lobby::<Server>(DEFAULTS).room::<Arena>(\"arena\").run()",
        "run::<Server>(DEFAULTS)",
    ),
    ("src/server.rs", "    type Request", "    cluster::lobby_types! { type Request"),
    ("src/server.rs", "type Event = LobbyEvent;", "type Event = LobbyEvent; }"),
    ("src/room.rs", "    type Options", "    cluster::room_types! { type Options"),
    ("src/room.rs", "cluster::unused!(FromLobby);", "}"),
    ("src/room.rs", "fn on_message(", "fn on_request("),
    ("src/room.rs", "{Answer, Leave,", "{Answer, LeaveReason,"),
    ("src/room.rs", "_why: Leave)", "_why: LeaveReason)"),
    ("src/room.rs", "room.tick_rate(", "room.set_tick_rate("),
    (
        "src/room_manager.rs",
        "impl RoomManager",
        "cluster::kinds!(Server: Arena = \"arena\");\n\nimpl RoomManager",
    ),
    ("src/room_manager.rs", "RoomInfo<Options>", "RoomInfo<Arena>"),
    ("src/room_manager.rs", "exit.reason()", "exit"),
    ("tests/room.rs", "\"reason\": \"finished\"", "\"reason\": { \"code\": \"finished\" }"),
    ("tests/story.rs", "TestLobby", "LobbyProcess"),
    ("tests/story.rs", "\"kind\": \"arena\",", "\"kind\": \"arena\", \"listing\": null,"),
    ("tests/story.rs", "\"reason\": \"crashed\"", "\"reason\": { \"code\": \"crashed\" }"),
    ("examples/bot.rs", "data[\"reason\"].as_str()", "data[\"reason\"][\"code\"].as_str()"),
    ("static/client.js", "returned.reason}", "returned.reason.message}"),
];

/// Name, version and checksum of each crate that is not the project's own.
fn locked(lock: &str) -> BTreeSet<String> {
    let entries = lock.split("\n\n").filter(|entry| entry.contains("\nsource = "));
    entries.map(|entry| entry.trim().lines().take(5).collect::<Vec<_>>().join("\n")).collect()
}

/// This lock with another version of this crate.
fn with_version(lock: &str, name: &str, version: &str) -> String {
    let start = format!("\nname = \"{name}\"\nversion = \"");
    let (before, rest) = lock.split_once(&start).expect(name);
    let (_, after) = rest.split_once('"').expect("a version");
    format!("{before}{start}{version}\"{after}")
}

#[test]
fn a_project_of_an_earlier_release_takes_todays_structure_and_keeps_its_edits() {
    let real = Upstream::with_history();
    let has_history = real.is_some();
    let upstream = real.unwrap_or_else(|| {
        println!("no commit {EARLIER} here: the earlier release is made of today's files");
        Upstream::of_two_commits()
    });
    let project = Project::of(&upstream);

    let command = Recipe::document("cluster/docs/update.md").command("FETCH_HEAD").to_owned();
    let said = must(&mut project.shell(&command.replace("URL", &project.url)));
    assert!(said.contains(&format!("## {NEXT}\n\nNews of {NEXT}.")), "{said}");
    assert!(!said.contains("## 0.3.0"), "only what is new: {said}");
    assert!(said.contains(&format!("cluster/ is at {NEXT}.")), "{said}");

    // The structure is today's but for the user's line; nothing else has changed but the lock.
    let (file, before, after) = OWN;
    let (mine, theirs) = (files(&project.path()), files(upstream.path()));
    for (path, content) in mine.iter().filter(|(path, _)| path.starts_with("cluster/")) {
        let content = String::from_utf8_lossy(content).into_owned();
        let content = if path == file { content.replace(after, before) } else { content };
        assert!(theirs.get(path).is_some_and(|their| *their == content.as_bytes()), "{path}");
    }
    let structure = |path: &&String| path.starts_with("cluster/");
    assert!(mine.keys().filter(structure).eq(theirs.keys().filter(structure)));
    assert!(read(&project.path(), file).contains(after));
    assert!(read(&project.path(), "src/room_manager.rs").ends_with("// A line of mine.\n"));
    let changed = project.git(&["diff", "--name-only", "HEAD", "--", ".", ":!cluster"]);
    let locks = ["Cargo.lock", "package-lock.json"];
    assert!(changed.lines().all(|path| locks.contains(&path)), "{changed}");
    assert_eq!(project.git(&["diff", "--name-only"]), "", "all is staged");
    let lock = read(&project.path(), "Cargo.lock");
    assert!(lock.contains(&format!("name = \"cluster\"\nversion = \"{NEXT}\"")), "{lock}");
    let template = read(upstream.path(), "Cargo.lock");
    assert!(locked(&lock).is_subset(&locked(&template)), "versions that the template has tried");
    let refs = project.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs.lines().count(), 1, "no tags or branches of the template: {refs}");

    project.commit();
    let before = project.state();
    let (success, said) = project.update(&[&project.url]);
    assert!(success && said.starts_with("Nothing to do: cluster/ has everything of v"), "{said}");
    assert!(project.state() == before);

    if has_history {
        EDITS.iter().for_each(|(file, before, after)| project.replace(file, before, after));
    }
    let workshop = Workshop::take(&project.path());
    let said = workshop.test();
    assert!(said.contains("Running tests/story.rs"), "{said}");
}

/// The script takes the project's version from there, and looks for its tag.
#[test]
fn a_release_has_the_version_of_its_tag_and_an_entry_in_the_changelog() {
    let here = |args: &[&str]| must(&mut git(Path::new(REPOSITORY), args));
    let changelog = read(Path::new(REPOSITORY), "cluster/CHANGELOG.md");
    for tag in here(&["tag", "--list", "v*"]).lines() {
        let structure = here(&["show", &format!("{tag}:cluster/Cargo.toml")]);
        assert!(structure.contains(&format!("\nversion = \"{}\"\n", &tag[1..])), "{tag}");
        assert!(changelog.contains(&format!("\n## {}\n", &tag[1..])), "{tag}");
    }
}

#[test]
fn an_edit_in_the_same_place_is_shown_as_a_conflict_and_the_rest_is_updated() {
    let upstream = Upstream::of_two_commits();
    let project = Project::of(&upstream);
    project.edit("cluster/src/lib.rs", |text| format!("// A line of mine.\n{text}"));
    fs::remove_file(project.path().join("cluster/docs/limits.md")).unwrap();
    // One crate is older than the template's, and one is newer.
    let lock = read(&project.path(), "Cargo.lock");
    let best = with_version(&lock, "serde", "1.1000.0");
    fs::write(project.path().join("Cargo.lock"), with_version(&best, "bytes", "1.2.3")).unwrap();
    project.commit();

    let (success, said) = project.update(&[&project.url]);
    assert!(!success && said.contains("with conflicts in:\ncluster/src/lib.rs\n"), "{said}");
    assert_eq!(project.git(&["diff", "--name-only", "--diff-filter=U"]), "cluster/src/lib.rs\n");
    let conflict = read(&project.path(), "cluster/src/lib.rs");
    let (mine, theirs) = ("// A line of mine.\n=======\n", "// A line of the template.\n>>>>>>>");
    assert!(conflict.starts_with("<<<<<<<") && conflict.contains(mine), "{conflict}");
    assert!(conflict.contains(theirs), "{conflict}");
    assert!(conflict.contains(&format!("(cluster {NEXT})\n")), "{conflict}");
    assert!(read(&project.path(), "cluster/Cargo.toml").contains(NEXT));
    assert!(read(&project.path(), OWN.0).contains(OWN.2));
    assert!(!project.path().join("cluster/docs/limits.md").exists(), "deleted, and unchanged");

    assert_eq!(locked(&read(&project.path(), "Cargo.lock")), locked(&best));

    // As the last line of the output says.
    project.git(&["reset", "--quiet", "--hard"]);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_branch_or_a_commit_can_be_named() {
    let upstream = Upstream::of_two_commits();
    upstream.git(&["tag", "--delete", "v0.3.0", &format!("v{NEXT}")]);
    let from = upstream.git(&["rev-parse", "main~1"]);
    let to = upstream.git(&["rev-parse", "main"]);
    upstream.git(&["tag", "v0.3.0", from.trim()]);
    let project = Project::of(&upstream);
    upstream.git(&["tag", "--delete", "v0.3.0"]);

    let (success, said) = project.update(&[&project.url]);
    assert!(!success && said.contains("has no release yet. Name a branch"), "{said}");
    let (success, said) = project.update(&[&project.url, "main"]);
    assert!(!success && said.contains("no tag, branch or commit 'v0.3.0'"), "{said}");
    assert!(said.contains("Name what the project was made from"), "{said}");
    for name in ["main", to.trim()] {
        project.git(&["reset", "--quiet", "--hard"]);
        let (success, said) = project.update(&[&project.url, name, from.trim()]);
        assert!(success && said.contains("name that as FROM next time"), "{said}");
        assert!(said.contains(&format!("the commit {}", &to[..7])), "{said}");
    }
    project.commit();
    let (success, said) = project.update(&[&project.url, "main", from.trim()]);
    assert!(
        success && said.starts_with("Nothing to do: cluster/ has everything of main."),
        "{said}"
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_a_sentence_and_changes_nothing() {
    let upstream = Upstream::of_two_commits();
    let project = Project::of(&upstream);
    let url = &*project.url;
    let before = project.state();
    let missing = format!("{url}/missing");
    for (args, sentence) in [
        (&[][..], "Usage: cluster/update.sh URL"),
        (&[url, "a", "b", "c"], "Usage: cluster/update.sh URL"),
        (&[&missing], "Check the address, and whether the network is there."),
        (&["--upload-pack=touch x"], "Cannot fetch from '--upload-pack=touch x'"),
        (&[url, "v7"], "The template has no tag, branch or commit 'v7'"),
        (&[url, "--all"], "The template has no tag, branch or commit '--all'"),
        // The project's own.
        (&[url, "HEAD"], "The template has no tag, branch or commit 'HEAD'"),
        (&[url, "main", "v7"], "'v7' with a folder cluster/. Name what the project was made from"),
    ] {
        let (success, said) = project.update(args);
        assert!(!success && said.contains(sentence), "{args:?}: {said}");
        assert!(project.state() == before, "{args:?}: {said}");
    }

    for (dirt, undo) in [("src/new.rs", "clean"), ("src/room.rs", "checkout")] {
        fs::write(project.path().join(dirt), "// Not committed.\n").unwrap();
        let (success, said) = project.update(&[url]);
        assert!(!success && said.contains("Commit or stash them first"), "{said}");
        let undo: &[_] = if undo == "clean" { &["clean", "-qf"] } else { &["checkout", "-q", "."] };
        project.git(undo);
    }
    assert!(project.state() == before);

    let elsewhere = Project { folder: Folder::new(), url: url.to_owned() };
    fs::create_dir_all(elsewhere.path()).unwrap();
    let (success, said) = elsewhere.update(&[url]);
    assert!(!success && said.contains("Go to the root folder of your project first."), "{said}");
    fs::create_dir(elsewhere.path().join("cluster")).unwrap();
    copy(&project.path(), &elsewhere.path(), "cluster/Cargo.toml");
    let (success, said) = elsewhere.update(&[url]);
    assert!(!success && said.contains("is not committed to Git"), "{said}");
}

/// A project may be a folder of a larger repository.
#[test]
fn a_project_in_a_folder_of_a_repository_is_updated_there() {
    let upstream = Upstream::of_two_commits();
    let project = Project::of(&upstream);
    fs::remove_dir_all(project.path().join(".git")).unwrap();
    let root = project.folder.path();
    must(&mut git(root, &["init", "--quiet"]));
    project.commit();
    let (success, said) = project.update(&[&project.url]);
    assert!(success, "{said}");
    assert!(read(&project.path(), "cluster/src/lib.rs").starts_with("// A line of the template."));
    assert_eq!(files(root).keys().filter(|path| !path.starts_with("dots/")).count(), 0);
    let lock = read(&project.path(), "package-lock.json");
    assert_eq!(lock.matches(LIBRARY).count(), 2, "wanted by cluster/web, and there: {lock}");
    assert!(lock.contains(&format!(
        "\n    \"node_modules/js-cookie\": {{\n      \"version\": \"{LIBRARY}\""
    )));
    let resolve = ["metadata", "--locked", "--offline", "--format-version=1"];
    must(cargo(&project.path()).args(resolve).args(["--filter-platform", HOST]));
}
