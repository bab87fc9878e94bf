//! Repositories of the template with two releases, and projects of the earlier one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::helpers::{
    Files, Folder, Generate, REPOSITORY, files, fixed_git, git, must, read, repository, run,
};

/// The commit of 0.3.0: the first release whose structure is a crate of its own, and after which
/// the CHANGELOG says all that users must edit.
pub const EARLIER: &str = "bb94bc52dcb6d8df97150b30a332a81759f18bc5";
/// The next release, which the tests make of the files as they are now.
pub const NEXT: &str = "999.0.0";

/// The version of a library in the later one of two commits.
pub const LIBRARY: &str = "3.999.0";

/// A user's own change of the structure: pages may show images that scripts make.
pub const OWN: (&str, &str, &str) =
    ("cluster/src/http/pages.rs", "img-src 'self' data:;", "img-src 'self' data: blob:;");

/// The repository of the template, with two releases.
pub struct Upstream(Folder);

impl Upstream {
    /// This repository with [`EARLIER`] and [`NEXT`]. `None` in a clone without history.
    pub fn with_history() -> Option<Upstream> {
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

    /// Two commits of the files as they are now. They differ in a line, and in a library of the
    /// page.
    pub fn of_two_commits() -> Upstream {
        let upstream = Upstream(Folder::new());
        upstream.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository().keys().for_each(|path| copy(Path::new(REPOSITORY), upstream.path(), path));
        upstream.release("0.3.0");
        upstream.edit("cluster/src/lib.rs", |text| format!("// A line of the template.\n{text}"));
        let package = read(upstream.path(), "cluster/web/package.json");
        let (_, version) = package.split_once("\"js-cookie\": ").expect("a library");
        let version = version.split(['\n', ',']).next().unwrap();
        for (file, before) in [
            ("cluster/web/package.json", "\"js-cookie\": "),
            ("package-lock.json", "\"js-cookie\": "),
            ("package-lock.json", "\"node_modules/js-cookie\": {\n      \"version\": "),
        ] {
            let (old, new) = (format!("{before}{version}"), format!("{before}\"{LIBRARY}\""));
            upstream.edit(file, |text| text.replacen(&old, &new, 1));
        }
        upstream.release(NEXT);
        upstream
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    pub fn git(&self, args: &[&str]) -> String {
        must(&mut git(self.path(), args))
    }

    pub fn edit(&self, path: &str, edit: impl FnOnce(String) -> String) {
        edit_file(self.path(), path, edit);
    }

    /// Commits and tags the files under this version, as a release does.
    pub fn release(&self, version: &str) {
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
pub struct Project {
    pub folder: Folder,
    pub url: String,
}

impl Project {
    pub fn of(upstream: &Upstream) -> Project {
        let project = Project { folder: Folder::new(), url: upstream.url() };
        let tag = ["--tag", "v0.3.0", "--name", "dots", "--silent"];
        Generate::new(project.folder.path(), "--git", &project.url).args(&tag).succeed();
        project.edit("src/room_manager.rs", |text| format!("{text}\n// A line of mine.\n"));
        let (file, before, after) = OWN;
        project.replace(file, before, after);
        project.commit();
        project
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("dots")
    }

    pub fn git(&self, args: &[&str]) -> String {
        must(&mut git(&self.path(), args))
    }

    pub fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "Mine"]);
    }

    pub fn edit(&self, path: &str, edit: impl FnOnce(String) -> String) {
        edit_file(&self.path(), path, edit);
    }

    pub fn replace(&self, path: &str, before: &str, after: &str) {
        self.edit(path, |text| {
            assert!(text.contains(before), "{path}: {before}");
            text.replace(before, after)
        });
    }

    /// The newest script, as a project gets it that is older than the script: success and output.
    pub fn update(&self, args: &[&str]) -> (bool, String) {
        let script = Path::new(REPOSITORY).join("cluster/update.sh");
        let mut sh = self.shell("exec sh -s -- \"$@\" <\"$0\"");
        run(sh.arg(script).args(args))
    }

    /// A line of shell in the project.
    pub fn shell(&self, line: &str) -> Command {
        let mut sh = fixed_git(Command::new("sh"));
        // Only what is there already: the crates of this repository, and what locks name.
        sh.envs([("CARGO_NET_OFFLINE", "true"), ("npm_config_offline", "true")]);
        sh.current_dir(self.path()).args(["-c", line]);
        sh
    }

    /// Its files, HEAD, index and refs.
    pub fn state(&self) -> (Files, String) {
        let refs = self.git(&["show-ref", "--head"]);
        (files(&self.path()), refs + &self.git(&["status", "--porcelain"]))
    }
}

/// Copies a file with its mode.
pub fn copy(from: &Path, to: &Path, path: &str) {
    let target = to.join(path);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(from.join(path), target).unwrap();
}

fn edit_file(folder: &Path, path: &str, edit: impl FnOnce(String) -> String) {
    fs::write(folder.join(path), edit(read(folder, path))).unwrap();
}
