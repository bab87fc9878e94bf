//! The command that restarts the lobby on save, for the tests of that recipe.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cluster::testing::{Pid, ProcessStat, Signal, TestFolder, command, free_port, is_alive};
use rustix::process::kill_process;
use tokio::time::sleep;

use super::helpers::{Folder, Template, Workshop, must, read};
use super::recipe::Recipe;

/// The recipe's command in a project made from `blank`. It and its lobby end when dropped.
pub struct Watch {
    pub url: String,
    workshop: Workshop,
    process: Child,
    output: Arc<Mutex<Vec<String>>>,
    _key: Arc<TestFolder>,
}

impl Watch {
    pub fn start() -> Watch {
        let installed = command("watchexec").arg("--version").stdout(Stdio::null()).status();
        installed.expect("watchexec is missing: `cargo install --locked watchexec-cli`");
        let folder = Folder::new();
        let blank = ["--name", "saved", "--silent", "-d", "example=blank"];
        Template::new().generate(folder.path()).args(&blank).succeed();
        let workshop = Workshop::take(&folder.path().join("saved"));
        workshop.install_libraries();
        must(&mut workshop.cargo(&["build", "--locked", "--quiet"]));
        let recipe = Recipe::read("restart");
        // All lobbies have the same port, as the page expects.
        let port = free_port();
        let key = TestFolder::new();
        let mut watch = command("sh");
        // This project is in a folder that the repository's .gitignore names.
        let line = recipe.command("cargo run").replace("watchexec ", "watchexec --no-vcs-ignore ");
        watch.args(["-c", &format!("exec {line}")]);
        watch.envs(workshop.cargo(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        watch.env("CLUSTER_PORT", port.to_string());
        watch.env("CLUSTER_KEY_FILE", key.path().join("lobby.key"));
        watch.current_dir(&workshop.project).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = watch.spawn().unwrap();
        let output = Arc::default();
        collect(process.stdout.take().unwrap(), &output);
        collect(process.stderr.take().unwrap(), &output);
        Watch { url: format!("http://127.0.0.1:{port}"), workshop, process, output, _key: key }
    }

    /// Saves a file in which the old text is replaced.
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let text = read(&self.workshop.project, file);
        assert!(text.contains(old), "no {old} in {file}");
        fs::write(self.workshop.project.join(file), text.replace(old, new)).unwrap();
    }

    /// The process of the lobby, once so many have been ready.
    pub async fn lobby(&self, so_many: usize) -> Pid {
        self.says("lobby ready", so_many).await;
        let lobby = below(Pid::from_child(&self.process)).into_iter().find(|pid| is_lobby(*pid));
        lobby.expect("a lobby")
    }

    /// Waits until so many lines of the output have this text. A build may take long.
    pub async fn says(&self, text: &str, so_many: usize) {
        let deadline = Instant::now() + Duration::from_secs(180);
        let lines =
            || self.output.lock().unwrap().iter().filter(|line| line.contains(text)).count();
        while lines() < so_many {
            let late = Instant::now() > deadline || !is_alive(Pid::from_child(&self.process));
            assert!(!late, "not {so_many} times: {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // As Ctrl+C does.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- the output ---\n{}", self.output.lock().unwrap().join("\n"));
        }
    }
}

fn collect(output: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = lines.clone();
    thread::spawn(move || {
        let read = BufReader::new(output).lines().map_while(Result::ok);
        read.for_each(|line| lines.lock().unwrap().push(line));
    });
}

/// All processes that a process has started, directly or not.
fn below(process: Pid) -> Vec<Pid> {
    let children = ProcessStat::children(process).into_iter().map(|child| child.pid);
    children.flat_map(|child| [vec![child], below(child)].concat()).collect()
}

/// Its command is the program, without `room`.
fn is_lobby(process: Pid) -> bool {
    let command = fs::read(format!("/proc/{}/cmdline", process.as_raw_nonzero()));
    let command = command.unwrap_or_default();
    let words: Vec<_> = command.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    matches!(&words[..], [program] if program.ends_with(b"debug/server"))
}
