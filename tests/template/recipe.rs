//! Follows a recipe of cluster/docs/recipes as written, in a project.
//!
//! A block `diff` changes the file that the paragraph before it names; after "new file" the block is
//! that file. A block `sh` is for the test to run.

use std::fs;
use std::path::Path;

use super::helpers::{REPOSITORY, read};

pub struct Recipe {
    steps: Vec<Step>,
    /// The blocks `sh`.
    commands: Vec<String>,
}

/// One block: replaces the old lines by the new ones. Without old lines, the new ones are a file.
struct Step {
    file: String,
    old: String,
    new: String,
}

impl Recipe {
    pub fn read(name: &str) -> Recipe {
        let text = read(Path::new(REPOSITORY), &format!("cluster/docs/recipes/{name}.md"));
        let parts: Vec<_> = text.split("```").collect();
        let (mut steps, mut commands) = (Vec::new(), Vec::new());
        for pair in parts.chunks_exact(2) {
            let (language, block) = pair[1].split_once('\n').expect("a block of lines");
            match language {
                "sh" => commands.push(block.to_owned()),
                language => steps.push(Step::new(pair[0], language, block)),
            }
        }
        Recipe { steps, commands }
    }

    /// Takes all steps but the commands.
    pub fn follow(&self, project: &Path) {
        self.steps.iter().for_each(|step| step.take(project));
    }

    /// The block of commands that contains this text.
    pub fn block(&self, part: &str) -> &str {
        let found = self.commands.iter().find(|block| block.contains(part));
        found.unwrap_or_else(|| panic!("no command {part}"))
    }

    /// The line of commands that contains this text.
    pub fn command(&self, part: &str) -> &str {
        self.block(part).lines().find(|line| line.contains(part)).expect("a line")
    }
}

impl Step {
    fn new(before: &str, language: &str, block: &str) -> Step {
        let paragraph = before.trim_end().rsplit("\n\n").next().expect("a paragraph");
        let file = paragraph.split('`').skip(1).step_by(2).find(|word| is_path(word));
        let file = file.unwrap_or_else(|| panic!("no file in: {paragraph}")).to_owned();
        if language != "diff" {
            assert!(paragraph.contains("new file"), "not a new file: {paragraph}");
            return Step { file, old: String::new(), new: block.to_owned() };
        }
        let lines = |marks: [char; 2]| {
            let lines = block.lines().filter(|line| line.is_empty() || line.starts_with(marks));
            lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
        };
        Step { file, old: lines([' ', '-']), new: lines([' ', '+']) }
    }

    fn take(&self, project: &Path) {
        let Step { file, old, new } = self;
        let path = project.join(file);
        if old.is_empty() {
            assert!(!path.exists(), "{file} exists");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            return fs::write(path, new).unwrap();
        }
        let text = format!("\n{}", read(project, file));
        let places = text.matches(&format!("\n{old}")).count();
        assert_eq!(places, 1, "in {file}:\n{old}");
        let text = text.replacen(&format!("\n{old}"), &format!("\n{new}"), 1);
        fs::write(path, &text[1..]).unwrap();
    }
}

fn is_path(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
    let known = ["css", "html", "js", "json", "rs", "toml", "ts"];
    !word.contains(char::is_whitespace) && extension.is_some_and(|it| known.contains(&it))
}
