//! Compares this project with its alternatives, side by side: the original design in Node,
//! Colyseus, socketioxide alone, and floors below which nothing can be. All servers are under the
//! same load, in alternating rounds, on loopback:
//!
//! ```sh
//! cargo run --release --manifest-path benches/Cargo.toml
//! cargo run --release --manifest-path benches/Cargo.toml -- --only echo --rounds 3
//! ```
//!
//! It prints the table; with `--write` it also puts it, with a plot, into `cluster/docs/figures`.
//! Without Node its columns are missing. npm's packages are installed as `package-lock.json` says.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::Parser;

mod client;
mod plot;
mod processes;
mod programs;
mod report;
mod rows;
mod servers;

use programs::{Programs, folder};
use report::{Figure, table};
use rows::{BUILD, Plan, ROWS};

/// Compares this project with its alternatives.
#[derive(Debug, Parser)]
struct Options {
    /// Only these rows, separated by commas: start, burst, join, idle, lobby, fill, echo,
    /// broadcast, tick, list, connect, hosts, build.
    #[arg(long, value_delimiter = ',', value_parser = row)]
    only: Vec<String>,

    /// Rounds. Each system has one turn in each.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Only checks that everything runs: a little load, one round.
    #[arg(long)]
    quick: bool,

    /// Also puts the table and the plot into cluster/docs/figures.
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,

    /// Another build of servers' `game`, such as a static one: a further column in the rows of
    /// rooms' starts.
    #[arg(long)]
    also: Option<PathBuf>,
}

fn row(name: &str) -> Result<String, String> {
    let known = ROWS.contains(&name) || name == BUILD;
    known.then(|| name.to_owned()).ok_or_else(|| format!("the rows are {ROWS:?} and {BUILD:?}"))
}

// One thread: the load leaves the other processors to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    ensure!(cfg!(target_os = "linux"), "this needs Linux: it reads /proc");
    let programs = build_programs(&options)?;
    let rounds = if options.quick { 1 } else { options.rounds.max(1) };
    let plan = Plan { programs, rounds, quick: options.quick };
    let mut rows: Vec<&str> = options.only.iter().map(String::as_str).collect();
    if rows.is_empty() {
        rows.extend(ROWS);
        // This build takes minutes the first time.
        rows.extend(Some(BUILD).filter(|_| !options.quick));
    }
    let mut figures = Vec::new();
    for row in rows {
        eprintln!("{row} …");
        let measured = rows::measure(row, &plan).await.with_context(|| format!("row {row}"))?;
        eprintln!("{}", table(&measured));
        figures.extend(measured);
        // After each row, so that an interrupted run leaves what it has.
        if options.write {
            let docs = folder().join("../cluster/docs/figures");
            fs::create_dir_all(&docs)?;
            fs::write(docs.join("side_by_side.md"), text(&plan, &figures))?;
            fs::write(docs.join("side_by_side.svg"), plot::svg(&figures))?;
        }
    }
    println!("{}", text(&plan, &figures));
    Ok(())
}

/// Builds the servers, with the profile `dist` of the project, and installs npm's packages.
fn build_programs(options: &Options) -> anyhow::Result<Programs> {
    let folder = folder();
    let ours = fs::read_to_string(folder.join("Cargo.toml"))?;
    let projects = fs::read_to_string(folder.join("../Cargo.toml"))?;
    ensure!(
        profile(&ours) == profile(&projects),
        "[profile.dist] must be the same in Cargo.toml and benches/Cargo.toml"
    );
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--profile", "dist", "--locked", "-p", "servers", "--manifest-path"]);
    build.arg(folder.join("Cargo.toml")).arg("--target-dir").arg(folder.join("target"));
    ensure!(build.status()?.success(), "the servers do not build");
    let built = folder.join("target/dist");
    let node = ["node", "colyseus"].iter().all(|package| install(&folder.join(package)));
    if !node {
        eprintln!("Node or npm is missing, or npm's packages: no columns for Node and Colyseus.");
    }
    Ok(Programs {
        game: built.join("game"),
        also: options.also.clone(),
        bare: built.join("bare"),
        nothing: nothing(&folder.join("target")),
        node,
        folder: folder.to_owned(),
    })
}

/// The lines of the profile.
fn profile(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().skip_while(|line| *line != "[profile.dist]").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.map(|line| line.split(" #").next().unwrap_or(line)).collect()
}

/// Installs npm's packages, if that has not been done yet.
fn install(package: &Path) -> bool {
    let (wanted, installed) =
        (package.join("package-lock.json"), package.join("node_modules/.package-lock.json"));
    let time = |path| fs::metadata(path).and_then(|file| file.modified());
    if let (Ok(wanted), Ok(installed)) = (time(&wanted), time(&installed))
        && installed >= wanted
    {
        return true;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(package).stdout(Stdio::null());
    npm.status().is_ok_and(|status| status.success())
}

/// A program that does nothing: a static one if there is a compiler, or `/bin/true`.
fn nothing(target: &Path) -> PathBuf {
    let program = target.join("nothing");
    let source = target.join("nothing.c");
    let written = fs::write(&source, "int main(void) { return 0; }\n");
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-Os", "-o"]).args([&program, &source]).stderr(Stdio::null());
    match written.is_ok() && compiler.status().is_ok_and(|status| status.success()) {
        true => program,
        false => "/bin/true".into(),
    }
}

/// The document.
fn text(plan: &Plan, figures: &[Figure]) -> String {
    let floor = match plan.programs.nothing.ends_with("nothing") {
        true => "a static program in C that does nothing",
        false => "`/bin/true`",
    };
    let versions =
        ["node", "colyseus"].map(|package| versions(&plan.programs.folder.join(package)));
    let profile = fs::read_to_string(folder().join("Cargo.toml")).unwrap_or_default();
    format!(
        include_str!("page.txt"),
        rounds = plan.rounds,
        cores = std::thread::available_parallelism().map_or(1, usize::from),
        profile = self::profile(&profile).join(", "),
        version = node_version(),
        node = versions[0],
        colyseus = versions[1],
        floor = floor,
        table = table(figures),
    )
}

fn node_version() -> String {
    let version = Command::new("node").arg("--version").output();
    version.map_or(String::new(), |said| {
        format!("Node {}", String::from_utf8_lossy(&said.stdout).trim())
    })
}

/// The versions of the packages that are compared.
fn versions(package: &Path) -> String {
    let text = fs::read_to_string(package.join("package.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let all = manifest["dependencies"].as_object().into_iter().flatten();
    let each =
        all.map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()));
    each.collect::<Vec<_>>().join(", ")
}
