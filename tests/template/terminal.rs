//! The questions, asked on a terminal: `script` gives cargo-generate one.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::helpers::{Folder, Generate, Template, read};

/// Far longer than anything takes, also on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_question_has_a_default() {
    let (template, folder) = (Template::new(), Folder::new());
    let mut asked = Conversation::start(template.generate(folder.path()));
    for question in
        ["Project name", "Example to start from", "Port of the lobby", "Seats in a room"]
    {
        asked.answer(question, "");
    }
    asked.hear("http://localhost:3000");
    asked.end();
    assert_eq!(folder.names(), ["my-cluster"]);
}

#[test]
fn whoever_answers_badly_is_asked_again() {
    let (template, folder) = (Template::new(), Folder::new());
    let mut asked = Conversation::start(template.generate(folder.path()));
    asked.answer("Project name", "test");
    asked.hear("Rust or Cargo reserves this word");
    asked.answer("Project name", "1up");
    asked.hear("A name starts with a letter");
    assert_eq!(folder.names(), [""; 0], "nothing is written before the name is good");
    asked.answer("Project name", "dots");
    asked.answer("Example to start from", "");
    answers_numbers_badly(asked);
    let defaults = read(folder.path(), "dots/src/defaults.rs");
    assert!(defaults.contains("port: 4100,") && defaults.contains("seats: 4,"), "{defaults}");
}

#[test]
fn so_is_whoever_gave_the_name_on_the_command_line() {
    let (template, folder) = (Template::new(), Folder::new());
    let answers = ["--name", "dots", "-d", "example=blank"];
    answers_numbers_badly(Conversation::start(template.generate(folder.path()).args(&answers)));
    let defaults = read(folder.path(), "dots/src/defaults.rs");
    assert!(defaults.contains("port: 4100,") && defaults.contains("seats: 4,"), "{defaults}");
}

/// At last port 4100 and 4 seats.
fn answers_numbers_badly(mut asked: Conversation) {
    asked.answer("Port of the lobby", "80000");
    asked.answer("Seats in a room", "0");
    asked.hear("It is a whole number from 1 to 65535.");
    asked.answer("Port of the lobby", "many");
    asked.hear("It is a whole number from 1 to 65535.");
    asked.answer("Port of the lobby", "4100");
    asked.hear("It is a whole number from 1 to 10000.");
    asked.answer("Seats in a room", "4");
    asked.hear("http://localhost:4100");
    asked.end();
}

#[test]
fn each_example_is_described_where_it_is_chosen() {
    let (template, folder) = (Template::new(), Folder::new());
    let generate = template.generate(folder.path()).args(&["--name", "dots"]);
    let mut asked = Conversation::start(generate);
    for description in [
        "arena    real time, canvas: ",
        "blank    every hook, ",
        "compute  a big computation ",
        "turns    a game of two in turns: ",
    ] {
        asked.hear(description);
    }
    // One down from the first.
    asked.answer("Example to start from", "\u{1b}[B");
    asked.answer("Port of the lobby", "");
    asked.answer("Seats in a room", "");
    asked.end();
    assert!(read(folder.path(), "dots/tests/chaos").contains("CHAOS_ENTER-play}"));
    assert!(folder.path().join("dots/tests/placeholders.rs").exists(), "blank");
}

struct Conversation {
    script: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// Output that was not expected yet.
    said: String,
}

impl Conversation {
    fn start(generate: Generate) -> Conversation {
        let command = &generate.command;
        let words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
        script.current_dir(command.get_current_dir().unwrap()).env("TERM", "xterm");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let mut script = (script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn())
            .expect("`script` runs: install util-linux, in Debian bsdutils");
        let input = script.stdin.take().unwrap();
        let mut stdout = script.stdout.take().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                let _ = sender.send(bytes[..length].to_vec());
            }
        });
        Conversation { script, input, output, said: String::new() }
    }

    /// Waits until it has said this.
    fn hear(&mut self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((_, rest)) = self.said.split_once(what) {
                self.said = rest.to_owned();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.said += &String::from_utf8_lossy(&bytes),
                Err(why) => panic!("{what:?} was not said ({why}), but: {}", self.said),
            }
        }
    }

    fn answer(&mut self, question: &str, answer: &str) {
        self.hear(question);
        writeln!(self.input, "{answer}").unwrap();
    }

    /// Waits until it has ended, successfully.
    fn end(mut self) {
        self.hear("New project created");
        while self.output.recv_timeout(PATIENCE).is_ok() {}
        assert!(self.script.wait().unwrap().success());
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
