//! The project under test: a freshly generated one, or the one in `CLUSTER_PROJECT`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use cluster::testing::LobbyProcess;

use crate::template::helpers::{NO_WORKSPACE, REPOSITORY, Template, Workshop, cargo, must};

pub struct Project {
    pub folder: PathBuf,
    pub program: PathBuf,
    /// Locked while the tests run: another run would replace the folder.
    _lock: Option<File>,
}

impl Project {
    pub fn get() -> Result<Arc<Project>> {
        Project::of("arena")
    }

    /// The project of an example, generated once; other tests wait for it.
    pub fn of(example: &str) -> Result<Arc<Project>> {
        static PROJECTS: Mutex<BTreeMap<String, Arc<Project>>> = Mutex::new(BTreeMap::new());
        let mut projects = PROJECTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(project) = projects.get(example) {
            return Ok(project.clone());
        }
        let project = Arc::new(match env::var_os("CLUSTER_PROJECT") {
            Some(folder) if example == "arena" => {
                Project::given(&Path::new(REPOSITORY).join(folder))?
            }
            _ => Project::generated(example)?,
        });
        projects.insert(example.to_owned(), project.clone());
        Ok(project)
    }

    /// Starts the lobby in the project's folder. A failed test shows its log.
    pub async fn start_lobby(&self, flags: &[&str]) -> LobbyProcess {
        let lobby = LobbyProcess::builder(&self.program).working_dir(&self.folder);
        let lobby = lobby.flags(&["--dev", "--seats", "8"]).flags(flags);
        lobby.on_line(|line| println!("{line}")).start().await
    }

    /// Generates a project from this example, as a user does. It shares the target folder of the
    /// template's tests, so only the first build is slow.
    fn generated(example: &str) -> Result<Project> {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{example}"));
        fs::create_dir_all(&place)?;
        let lock = File::create(place.join("lock"))?;
        lock.lock()?;
        let folder = place.join("my-game");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let answers = ["--name", "my-game", "--silent", "--vcs", "none"];
        let example = format!("example={example}");
        let answers = [&answers[..], &NO_WORKSPACE, &["-d", &example]].concat();
        Template::new().generate(&place).args(&answers).succeed();
        // Copied, since the next project's build replaces the program: all have the same name.
        let program = folder.join("program-under-test");
        let workshop = Workshop::take(&folder);
        must(&mut workshop.cargo(&["build", "--locked", "--quiet"]));
        fs::copy(workshop.target.join("debug/server"), &program)?;
        symlink(Path::new(REPOSITORY).join("node_modules"), folder.join("node_modules"))?;
        need_libraries(&folder)?;
        Ok(Project { folder, program, _lock: Some(lock) })
    }

    fn given(folder: &Path) -> Result<Project> {
        let folder = folder.canonicalize().context("CLUSTER_PROJECT is no folder")?;
        need_libraries(&folder)?;
        let program = if folder == Path::new(REPOSITORY).canonicalize()? {
            env!("CARGO_BIN_EXE_server").into()
        } else {
            let target = env::var_os("CARGO_TARGET_DIR").map(|dir| Path::new(REPOSITORY).join(dir));
            let target = target.unwrap_or_else(|| folder.join("target"));
            let build = ["build", "--locked", "--quiet"];
            must(cargo(&folder).env("CARGO_TARGET_DIR", &target).args(build));
            target.join("debug/server")
        };
        Ok(Project { folder, program, _lock: None })
    }
}

fn need_libraries(folder: &Path) -> Result<()> {
    let there = folder.join("node_modules/socket.io-client").is_dir();
    ensure!(there, "the client libraries are missing: run `npm ci` in {}", folder.display());
    Ok(())
}
