//! A copy of the template, and `cargo generate` with a fixed environment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::{env, fs, process};

/// The deployment target: crates of other platforms are not downloaded.
pub const HOST: &str = "x86_64-unknown-linux-gnu";
pub const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// What a project in the folder of another workspace needs.
pub const NO_WORKSPACE: [&str; 3] = ["--no-workspace", "-d", "no_workspace=true"];

/// The files of an example that a user edits.
pub const YOURS: [&str; 5] =
    ["src/server.rs", "src/room_manager.rs", "src/room.rs", "src/messages.rs", "static/client.js"];

/// The examples: the choices in cargo-generate.toml.
pub fn examples() -> Vec<String> {
    let config = read(Path::new(REPOSITORY), "cargo-generate.toml");
    let (_, rest) = config.split_once("choices = [").expect("choices");
    let (choices, _) = rest.split_once(']').expect("the end of the choices");
    choices.split(',').map(|choice| choice.trim().trim_matches('"').to_owned()).collect()
}

/// An example's own file in the repository.
pub fn file_of(example: &str, path: &str) -> String {
    let own = format!("template-hooks/examples/{example}/{path}");
    let own = if example == "arena" { path } else { &own };
    read(Path::new(REPOSITORY), own)
}

/// A file's path in its project, and its content.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A temporary folder, deleted when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("template-test-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed));
        // Canonical, as in the messages of cargo-generate.
        let folder = env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The names of its entries.
    pub fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A copy of the repository's files: those that Git tracks or would add.
pub struct Template(Folder);

impl Template {
    pub fn new() -> Template {
        let template = Template(Folder::new());
        for (path, content) in repository() {
            template.write(&path, content);
            // Keeps scripts executable.
            let mode = fs::metadata(Path::new(REPOSITORY).join(&path)).unwrap().permissions();
            fs::set_permissions(template.path().join(&path), mode).unwrap();
        }
        template
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes it a Git repository with one commit.
    pub fn commit(&self) {
        must(&mut git(self.path(), &["init", "--quiet", "--initial-branch", "trunk"]));
        must(&mut git(self.path(), &["add", "--all"]));
        must(&mut git(self.path(), &["commit", "--quiet", "--message", "All of it"]));
    }

    /// `cargo generate --path` in the folder `inside`.
    pub fn generate(&self, inside: &Path) -> Generate {
        Generate::new(inside, "--path", self.path())
    }
}

/// One call of `cargo generate`.
pub struct Generate {
    pub command: Command,
}

impl Generate {
    /// `how` is `--path` or `--git`.
    pub fn new(inside: &Path, how: &str, template: impl AsRef<OsStr>) -> Generate {
        static NO_CONFIG: LazyLock<PathBuf> = LazyLock::new(|| {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-config.toml");
            fs::write(&file, "").unwrap();
            file
        });
        let mut command = cargo(inside);
        command.arg("generate").arg(how).arg(template).arg("--config").arg(&*NO_CONFIG);
        // cargo-generate needs an author, though this template does not.
        command.envs([("USER", "somebody"), ("GIT_AUTHOR_NAME", "somebody")]);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("CARGO_GENERATE_")) {
            command.env_remove(name);
        }
        Generate { command }
    }

    pub fn args(mut self, args: &[&str]) -> Generate {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Generate {
        self.command.env(name, value);
        self
    }

    /// Its output; it must succeed.
    pub fn succeed(mut self) -> String {
        let (success, said) = run(&mut self.command);
        assert!(success, "{:?} failed:\n{said}", self.command);
        said
    }

    /// Its output; it must fail.
    pub fn fail(mut self) -> String {
        let (success, said) = run(&mut self.command);
        assert!(!success, "{:?} succeeded:\n{said}", self.command);
        said
    }
}

/// Cargo, in this folder. Fails if cargo-generate is not installed.
pub fn cargo(folder: &Path) -> Command {
    static INSTALLED: LazyLock<bool> =
        LazyLock::new(|| run(Command::new(env!("CARGO")).args(["generate", "--version"])).0);
    assert!(
        *INSTALLED,
        "cargo-generate is missing: `cargo install --locked cargo-generate`, or with an older Rust \
         `cargo install --locked --debug cargo-generate --version 0.23.14`"
    );
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).env("RUST_BACKTRACE", "0").env("CARGO_TERM_COLOR", "never");
    command
}

/// Git in this folder, with [`fixed_git`].
pub fn git(folder: &Path, args: &[&str]) -> Command {
    let mut git = fixed_git(Command::new("git"));
    git.current_dir(folder).args(args);
    git
}

/// A program whose Git has an author, and no settings of the machine.
pub fn fixed_git(mut command: Command) -> Command {
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
    for person in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{person}_NAME"), "somebody");
        command.env(format!("GIT_{person}_EMAIL"), "somebody@example.org");
    }
    command
}

/// Whether it succeeded, and its output.
pub fn run(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

pub fn must(command: &mut Command) -> String {
    let (success, said) = run(command);
    assert!(success, "{command:?} failed:\n{said}");
    said
}

/// The repository's files as they are now.
pub fn repository() -> Files {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let listed = must(&mut git(Path::new(REPOSITORY), &list));
    let read =
        |path: &str| Some((path.to_owned(), fs::read(Path::new(REPOSITORY).join(path)).ok()?));
    listed.lines().filter_map(read).collect()
}

/// The files in a folder and below, without `.git`.
pub fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if !path.is_dir() {
            files.insert(name, fs::read(path).unwrap());
        } else if name != ".git" {
            let below = self::files(&path).into_iter();
            files.extend(below.map(|(path, content)| (format!("{name}/{path}"), content)));
        }
    }
    files
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn read(folder: &Path, path: &str) -> String {
    let path = folder.join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Where generated projects are built, one at a time. Both its folders are kept, and only files
/// that differ from the previous project are written: the structure is the same in all, and built
/// once.
pub struct Workshop {
    pub project: PathBuf,
    pub target: PathBuf,
    _turn: File,
}

impl Workshop {
    /// Waits until no other test uses it, and copies the project here.
    pub fn take(generated: &Path) -> Workshop {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("template");
        let project = target.join("project");
        fs::create_dir_all(&project).unwrap();
        // Cargo would take the project's crate `cluster` for the repository's, which has the same
        // name, and not build that again when it changes; so it gets a profile of its own.
        fs::create_dir_all(target.join(".cargo")).unwrap();
        let profile = "[profile.dev.package.cluster]\ncodegen-units = 17\n";
        fs::write(target.join(".cargo/config.toml"), profile).unwrap();
        let turn = File::create(target.join("tests.lock")).unwrap();
        turn.lock().unwrap();
        // Links, or what a test has made there.
        for name in ["node_modules", "target", "dist"] {
            let path = project.join(name);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        let (new, old) = (files(generated), files(&project));
        for path in old.keys().filter(|path| !new.contains_key(*path)) {
            fs::remove_file(project.join(path)).unwrap();
        }
        for (path, content) in new.iter().filter(|(path, content)| old.get(*path) != Some(content))
        {
            fs::create_dir_all(project.join(path).parent().unwrap()).unwrap();
            fs::write(project.join(path), content).unwrap();
        }
        Workshop { project, target, _turn: turn }
    }

    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = cargo(&self.project);
        self.build_here(&mut cargo).args(args);
        cargo
    }

    /// Runs the command in the project, and Cargo with the folders of the workshop.
    pub fn build_here<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // The dependencies are already built for this repository; only its programs, which have the
        // same names, go elsewhere.
        let built = self.target.parent().unwrap();
        command.env("CARGO_TARGET_DIR", &self.target).env("CARGO_BUILD_BUILD_DIR", built);
        command.env("CARGO_INCREMENTAL", "1"); // one project after the other
        command.current_dir(&self.project)
    }

    /// Checks that the project is formatted and free of warnings.
    pub fn lint(&self) {
        must(&mut self.cargo(&["fmt", "--check"]));
        let clippy = ["clippy", "--quiet", "--all-targets", "--locked", "--", "-D", "warnings"];
        must(&mut self.cargo(&clippy));
    }

    /// The output of `cargo test`, which must pass.
    pub fn test(&self) -> String {
        must(&mut self.cargo(&["test", "--locked"]))
    }

    /// What `npm ci` does, without a download.
    pub fn install_libraries(&self) {
        let libraries = Path::new(REPOSITORY).join("node_modules");
        assert!(
            libraries.join("typescript").is_dir(),
            "TypeScript is missing: run `npm ci` in {REPOSITORY}"
        );
        let _ = symlink(libraries, self.project.join("node_modules"));
    }

    /// Runs `npm run check`. `Err`: its output.
    pub fn check_types(&self) -> Result<(), String> {
        self.install_libraries();
        let npm = &mut Command::new("npm");
        let (success, said) = run(npm.current_dir(&self.project).args(["run", "check"]));
        if success { Ok(()) } else { Err(said) }
    }
}
