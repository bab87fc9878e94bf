//! Which project is tested: a freshly generated one, or the one in `CLUSTER_PROJECT`.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::testing::TestLobby;

use crate::template::helpers::{Folder, REPOSITORY, Template, Workshop, cargo, files, must};

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

    /// A new project, made as a user makes one from this example. It is built in the workshop of the
    /// template's tests: only the first time takes long.
    pub fn generated(example: &str) -> Result<Project> {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
        fs::create_dir_all(&place)?;
        let lock = File::create(place.join(format!("{example}.lock")))?;
        lock.lock()?;
        let generated = Folder::new();
        let answers = ["--name", "my-game", "--silent", "-d", &format!("example={example}")];
        Template::new().generate(generated.path()).args(&answers).succeed();
        let generated = generated.path().join("my-game");

        // The workshop's next project replaces this one there.
        let folder = place.join(example);
        let _ = fs::remove_dir_all(&folder);
        for (path, content) in files(&generated) {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().context("no folder")?)?;
            fs::write(path, content)?;
        }
        symlink(Path::new(REPOSITORY).join("node_modules"), folder.join("node_modules"))?;
        need_libraries(&folder)?;
        let program = folder.join("program-under-test");
        let workshop = Workshop::take(&generated);
        must(&mut workshop.cargo(&["build", "--locked", "--quiet"]));
        fs::copy(workshop.target.join("debug/server"), &program)?;
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
    Ok(target.join("debug/server"))
}

fn need_libraries(folder: &Path) -> Result<()> {
    let there = folder.join("node_modules/socket.io-client").is_dir();
    ensure!(there, "the client libraries are missing: run `npm ci` in {}", folder.display());
    Ok(())
}
