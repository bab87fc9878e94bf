//! Follows a document as written, in a project.
//!
//! A block `diff` changes the file that the paragraph before it names: it replaces the lines that
//! begin with a space or `-` by those that begin with a space or `+`. A block with only `+` is
//! added to the end of the file, or is a new one. After the words "new file", a block in any other
//! language is that file. A block `sh` is for the test to run, except for `cp`, which is a step.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::helpers::{Folder, REPOSITORY, Template, Workshop, must, read};

pub struct Recipe {
    steps: Vec<Step>,
    /// The blocks `sh`.
    commands: Vec<String>,
}

/// One block.
struct Step {
    file: String,
    old: String,
    new: String,
    added: usize,
}

impl Recipe {
    /// The recipe of this name.
    pub fn read(name: &str) -> Recipe {
        Recipe::document(&format!("cluster/docs/recipes/{name}.md"))
    }

    /// A document of the repository.
    pub fn document(path: &str) -> Recipe {
        Recipe::parse(&read(Path::new(REPOSITORY), path))
    }

    pub fn parse(text: &str) -> Recipe {
        let (mut steps, mut commands) = (Vec::new(), Vec::new());
        for pair in text.split("```").collect::<Vec<_>>().chunks_exact(2) {
            let (language, block) = pair[1].split_once('\n').expect("a block of lines");
            let paragraph = pair[0].trim_end().rsplit("\n\n").next().expect("a paragraph");
            let paragraph = paragraph.replace('\n', " ");
            match language {
                "sh" => commands.push(block.to_owned()),
                "diff" => steps.push(Step::change(&paragraph, block)),
                _ if paragraph.contains("new file") => steps.push(Step::create(&paragraph, block)),
                _ => {}
            }
        }
        Recipe { steps, commands }
    }

    /// Takes all steps in a project.
    pub fn follow(&self, project: &Path) {
        assert!(!self.steps.is_empty(), "no steps");
        for copy in self.commands.iter().filter(|command| command.starts_with("cp ")) {
            must(Command::new("sh").args(["-c", copy]).current_dir(project));
        }
        self.steps.iter().for_each(|step| step.take(project));
    }

    /// Takes all steps in a new project, made from the example `blank`.
    pub fn follow_from_blank(&self) -> Workshop {
        let folder = Folder::new();
        let blank = ["--name", "recipe", "--silent", "-d", "example=blank"];
        Template::new().generate(folder.path()).args(&blank).succeed();
        let workshop = Workshop::take(&folder.path().join("recipe"));
        self.follow(&workshop.project);
        workshop
    }

    /// How many lines are added to the files that this accepts.
    pub fn added(&self, accept: impl Fn(&str) -> bool) -> usize {
        self.steps.iter().filter(|step| accept(&step.file)).map(|step| step.added).sum()
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
    fn change(paragraph: &str, diff: &str) -> Step {
        // An editor may have removed the space of an empty line.
        let lines = |marks: [char; 2]| {
            let lines = diff.lines().filter(|line| line.is_empty() || line.starts_with(marks));
            lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
        };
        let added = diff.lines().filter(|line| line.starts_with('+')).count();
        Step { file: file_in(paragraph), old: lines([' ', '-']), new: lines([' ', '+']), added }
    }

    fn create(paragraph: &str, file: &str) -> Step {
        let added = file.lines().count();
        Step { file: file_in(paragraph), old: String::new(), new: file.to_owned(), added }
    }

    fn take(&self, project: &Path) {
        let Step { file, old, new, .. } = self;
        let path = project.join(file);
        // Each line begins after a line break, the first one too.
        let text = fs::read_to_string(&path).map_or("\n".to_owned(), |text| format!("\n{text}"));
        let text = if old.is_empty() {
            text + new
        } else {
            let (old, new) = (format!("\n{old}"), format!("\n{new}"));
            assert_eq!(text.matches(&old).count(), 1, "in {file}:{old}");
            text.replacen(&old, &new, 1)
        };
        fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        fs::write(path, &text[1..]).unwrap();
    }
}

/// The first path in backticks.
fn file_in(paragraph: &str) -> String {
    let mut words = paragraph.split('`').skip(1).step_by(2);
    let file = words.find(|word| is_path(word));
    file.unwrap_or_else(|| panic!("no file in: {paragraph}")).to_owned()
}

fn is_path(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
    let known = ["conf", "css", "html", "js", "json", "mjs", "rs", "toml", "ts"];
    let is_known = extension.is_some_and(|it| known.contains(&it));
    !word.contains(char::is_whitespace) && (is_known || word.ends_with("/Caddyfile"))
}
