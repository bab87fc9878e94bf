//! Which project is tested: a freshly generated one, or the one in `CLUSTER_PROJECT`.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::testing::TestLobby;

use crate::template::helpers::{REPOSITORY, Template, cargo, must, workshop};

pub struct Project {
    pub folder: PathBuf,
    pub program: PathBuf,
    /// Held for as long as the tests run: another run would replace the folder.
    _lock: Option<File>,
}

impl Project {
    /// Made once; the other tests wait for it.
    pub fn get() -> Result<&'static Project> {
        static PROJECT: OnceLock<Result<Project>> = OnceLock::new();
        let project = PROJECT.get_or_init(|| match env::var_os("CLUSTER_PROJECT") {
            None => Project::generated("arena"),
            Some(folder) => Project::given(&Path::new(REPOSITORY).join(folder)),
        });
        project.as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    /// As it is started by hand: in the project's folder. A failed test shows the log.
    pub async fn start_lobby(&self, flags: &[&str]) -> TestLobby {
        let lobby = TestLobby::builder(&self.program).working_dir(&self.folder);
        let lobby = lobby.flags(&["--dev", "--seats", "8"]).flags(flags);
        lobby.on_line(|line| println!("{line}")).start().await
    }

    /// A new project, made as a user makes one from this example, and built in the target folder that
    /// the template's tests keep: only the first time takes long.
    pub fn generated(example: &str) -> Result<Project> {
        static BUILDING: Mutex<()> = Mutex::new(());
        let (workshop, lock) = workshop(&format!("browser-{example}"));
        let answers = ["--name", "my-game", "--silent", "--vcs", "none", "--no-workspace"];
        let example = ["-d", &format!("example={example}")];
        Template::new().generate(&workshop).args(&answers).args(&example).succeed();
        let folder = workshop.join("my-game");
        let libraries = Path::new(REPOSITORY).join("node_modules");
        symlink(libraries, folder.join("node_modules"))?;
        let _alone = BUILDING.lock();
        let built = build(&folder, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("../template"))?;
        // Every project's program has the same name: the next one that is built there replaces it.
        let program = folder.join("program-under-test");
        fs::copy(built, &program)?;
        Ok(Project { folder, program, _lock: Some(lock) })
    }

    fn given(folder: &Path) -> Result<Project> {
        let folder = folder.canonicalize().context("CLUSTER_PROJECT is no folder")?;
        let program = if folder == Path::new(REPOSITORY).canonicalize()? {
            env!("CARGO_BIN_EXE_server").into()
        } else {
            let target = env::var_os("CARGO_TARGET_DIR").map(|dir| Path::new(REPOSITORY).join(dir));
            build(&folder, &target.unwrap_or_else(|| folder.join("target")))?
        };
        need_libraries(&folder)?;
        Ok(Project { folder, program, _lock: None })
    }
}

fn build(folder: &Path, target: &Path) -> Result<PathBuf> {
    need_libraries(folder)?;
    must(cargo(folder).env("CARGO_TARGET_DIR", target).args(["build", "--locked", "--quiet"]));
    Ok(target.join("debug/cluster"))
}

fn need_libraries(folder: &Path) -> Result<()> {
    let there = folder.join("node_modules/socket.io-client").is_dir();
    ensure!(there, "the client libraries are missing: run `npm ci` in {}", folder.display());
    Ok(())
}
