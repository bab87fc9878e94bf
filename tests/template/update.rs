//! `cluster/update.sh`: a project takes a newer structure and keeps what its user has changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::helpers::{
    Files, Folder, Generate, REPOSITORY, Workshop, cargo, files, fixed_git, git, must, read,
    repository, run,
};

/// The commit of 0.3.0: the first release whose structure is a crate of its own, and after which
/// the CHANGELOG says all that users must edit.
const EARLIER: &str = "bb94bc52dcb6d8df97150b30a332a81759f18bc5";
/// The next release, which the tests make of the files as they are now.
const NEXT: &str = "999.0.0";

/// What the CHANGELOG says since 0.3.0, for the files of a user: file, before, after.
const EDITS: [(&str, &str, &str); 8] = [
    ("src/room.rs", "{Answer, Leave,", "{Answer, LeaveReason,"),
    ("src/room.rs", "_why: Leave)", "_why: LeaveReason)"),
    ("src/room.rs", "room.tick_rate(", "room.set_tick_rate("),
    ("src/room_manager.rs", "exit.reason()", "exit"),
    ("tests/room.rs", "\"reason\": \"finished\"", "\"reason\": { \"code\": \"finished\" }"),
    ("tests/story.rs", "\"reason\": \"crashed\"", "\"reason\": { \"code\": \"crashed\" }"),
    ("examples/bot.rs", "data[\"reason\"].as_str()", "data[\"reason\"][\"code\"].as_str()"),
    ("static/client.js", "returned.reason}", "returned.reason.message}"),
];
/// A user's own change of the structure: pages may show images that scripts make.
const OWN: (&str, &str, &str) =
    ("cluster/src/http/pages.rs", "img-src 'self' data:;", "img-src 'self' data: blob:;");

/// The repository of the template, with two releases.
struct Upstream(Folder);

impl Upstream {
    /// This repository with [`EARLIER`] and [`NEXT`]. `None` in a clone without history.
    fn with_history() -> Option<Upstream> {
        let earlier = format!("{EARLIER}^{{commit}}");
        if !run(&mut git(Path::new(REPOSITORY), &["cat-file", "-e", &earlier])).0 {
            return None;
        }
        let upstream = Upstream(Folder::new());
        upstream.git(&["clone", "--quiet", REPOSITORY, "."]);
        for path in files(upstream.path()).keys() {
            fs::remove_file(upstream.path().join(path)).unwrap();
        }
        upstream.git(&["tag", "--force", "v0.3.0", EARLIER]);
        repository().keys().for_each(|path| copy(Path::new(REPOSITORY), upstream.path(), path));
        upstream.release(NEXT);
        Some(upstream)
    }

    /// Two commits of the files as they are now, which differ in a line or two.
    fn of_two_commits() -> Upstream {
        let upstream = Upstream(Folder::new());
        upstream.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository().keys().for_each(|path| copy(Path::new(REPOSITORY), upstream.path(), path));
        upstream.release("0.3.0");
        upstream.edit("cluster/src/lib.rs", |text| format!("// A line of the template.\n{text}"));
        upstream.release(NEXT);
        upstream
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    fn git(&self, args: &[&str]) -> String {
        must(&mut git(self.path(), args))
    }

    fn edit(&self, path: &str, edit: impl FnOnce(String) -> String) {
        edit_file(self.path(), path, edit);
    }

    /// Commits and tags the files under this version, as a release does.
    fn release(&self, version: &str) {
        let structure = read(self.path(), "cluster/Cargo.toml");
        let (_, rest) = structure.split_once("\nversion = \"").expect("a version");
        let (before, _) = rest.split_once('"').expect("a version");
        let (before, after) =
            (format!("version = \"{before}\""), format!("version = \"{version}\""));
        self.edit("cluster/Cargo.toml", |text| text.replacen(&before, &after, 1));
        for lock in ["Cargo.lock", "template-hooks/lock.rhai"] {
            let name = "name = \"cluster\"\n";
            let (before, after) = (format!("{name}{before}"), format!("{name}{after}"));
            self.edit(lock, |text| text.replacen(&before, &after, 1));
        }
        self.edit("cluster/CHANGELOG.md", |text| {
            let heading = format!("\n## {version}\n\nNews of {version}.\n");
            match text.contains("\n## Unreleased\n") {
                true => text.replacen("\n## Unreleased\n", &heading, 1),
                false => text.replacen("\n## ", &format!("{heading}\n## "), 1),
            }
        });
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", version]);
        self.git(&["tag", &format!("v{version}")]);
    }
}

/// A project in Git, generated from a tag of the template, with changes of its user.
struct Project {
    folder: Folder,
    url: String,
}

impl Project {
    fn of(upstream: &Upstream) -> Project {
        let project = Project { folder: Folder::new(), url: upstream.url() };
        let tag = ["--tag", "v0.3.0", "--name", "dots", "--silent"];
        Generate::new(project.folder.path(), "--git", &project.url).args(&tag).succeed();
        project.edit("src/room_manager.rs", |text| format!("{text}\n// A line of mine.\n"));
        let (file, before, after) = OWN;
        project.replace(file, before, after);
        project.commit();
        project
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("dots")
    }

    fn git(&self, args: &[&str]) -> String {
        must(&mut git(&self.path(), args))
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "Mine"]);
    }

    fn edit(&self, path: &str, edit: impl FnOnce(String) -> String) {
        edit_file(&self.path(), path, edit);
    }

    fn replace(&self, path: &str, before: &str, after: &str) {
        self.edit(path, |text| {
            assert!(text.contains(before), "{path}: {before}");
            text.replace(before, after)
        });
    }

    /// The newest script, as a project gets it that is older than the script: success and output.
    fn update(&self, args: &[&str]) -> (bool, String) {
        let script = Path::new(REPOSITORY).join("cluster/update.sh");
        let mut sh = fixed_git(Command::new("sh"));
        // Cargo takes only crates that are there already: those of this repository.
        sh.current_dir(self.path()).env("CARGO_NET_OFFLINE", "true");
        sh.args(["-c", "exec sh -s \"$@\" <\"$0\""]).arg(script).args(args);
        run(&mut sh)
    }

    /// Its files, HEAD, index and refs.
    fn state(&self) -> (Files, String) {
        let refs = self.git(&["show-ref", "--head"]);
        (files(&self.path()), refs + &self.git(&["status", "--porcelain"]))
    }
}

/// Copies a file with its mode.
fn copy(from: &Path, to: &Path, path: &str) {
    let target = to.join(path);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(from.join(path), target).unwrap();
}

fn edit_file(folder: &Path, path: &str, edit: impl FnOnce(String) -> String) {
    fs::write(folder.join(path), edit(read(folder, path))).unwrap();
}

/// Name, version and checksum of each crate that is not the project's own.
fn locked(lock: &str) -> BTreeSet<String> {
    let entries = lock.split("\n\n").filter(|entry| entry.contains("\nsource = "));
    entries.map(|entry| entry.lines().take(5).collect::<Vec<_>>().join("\n")).collect()
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

    let (success, said) = project.update(&[&project.url]);
    assert!(success, "{said}");
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
    assert_eq!(changed, "Cargo.lock\n");
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

#[test]
fn an_edit_in_the_same_place_is_shown_as_a_conflict_and_the_rest_is_updated() {
    let upstream = Upstream::of_two_commits();
    let project = Project::of(&upstream);
    project.edit("cluster/src/lib.rs", |text| format!("// A line of mine.\n{text}"));
    fs::remove_file(project.path().join("cluster/docs/limits.md")).unwrap();
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
    must(cargo(&project.path()).args(["metadata", "--locked", "--offline", "--format-version=1"]));
}
