//! The release build of a project after an edit.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::Plan;
use crate::programs::System::Cluster;
use crate::report::Figure;

/// Builds a copy of this repository's example, edits a room, and builds again.
pub fn build(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let mut figure = Figure::less("release build after an edit of src/room.rs", "s");
    let (repository, copy) =
        (plan.programs.folder.join(".."), plan.programs.folder.join("target/copy"));
    let listed = output("git", &["ls-files", "-z"], &repository)?;
    for path in listed.split('\0').filter(|path| !path.is_empty() && !path.starts_with("benches/"))
    {
        let (from, to) = (repository.join(path), copy.join(path));
        if fs::read(&from).ok() != fs::read(&to).ok() {
            fs::create_dir_all(to.parent().context("a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {path}"))?;
        }
    }
    compile(&copy)?;
    let rounds = plan.rounds.min(3);
    for round in 0..rounds {
        let file = copy.join("src/room.rs");
        let text = fs::read_to_string(repository.join("src/room.rs"))?;
        let edited = text
            .replace("const SPEED: f32 = 0.5;", &format!("const SPEED: f32 = 0.5{};", round + 1));
        ensure!(edited != text, "src/room.rs has no SPEED to edit");
        fs::write(file, edited)?;
        let start = Instant::now();
        compile(&copy)?;
        figure.add(Cluster, start.elapsed().as_secs_f64());
    }
    Ok(vec![figure])
}

fn compile(project: &Path) -> anyhow::Result<()> {
    output("cargo", &["build", "--release", "--locked", "--quiet"], project).map(drop)
}

fn output(program: &str, arguments: &[&str], folder: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stderr(Stdio::inherit());
    // It may be set for this program, which another Cargo runs.
    command.env_remove("CARGO_TARGET_DIR");
    let done = command.output().with_context(|| format!("cannot run {program}"))?;
    ensure!(done.status.success(), "{program} {arguments:?} has failed");
    Ok(String::from_utf8(done.stdout)?)
}
