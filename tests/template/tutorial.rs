//! The tutorial is done here as it is written: each `diff` block, in the file that the paragraph before
//! it names.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use crate::{
    builds::target,
    helpers::{REPOSITORY, Template, cargo, must, read, run, workshop},
};

const TUTORIAL: &str = "template-hooks/files/README.md";
const TITLE: &str = "## From blank to a working feature in ten lines\n";

#[test]
fn the_tutorial_leads_to_a_working_feature_in_ten_lines() {
    let (folder, _lock) = workshop("tutorial");
    let place = ["--name", "clicks", "--vcs", "none", "--no-workspace"];
    let template = Template::new();
    let generate = template.generate(&folder).args(&place);
    generate.args(&["--silent", "-d", "example=blank"]).succeed();
    let project = folder.join("clicks");

    let steps = steps(&read(Path::new(REPOSITORY), TUTORIAL));
    steps.iter().for_each(|step| step.take(&project));
    let feature = steps.iter().filter(|step| !step.file.starts_with("tests/"));
    let lines: usize = feature.map(|step| step.added).sum();
    assert!((1..=10).contains(&lines), "{lines} lines");

    let (target, _turn) = target();
    let cargo = |args: &[&str]| {
        let mut cargo = cargo(&project);
        cargo.env("CARGO_TARGET_DIR", &target).args(args);
        cargo
    };
    must(&mut cargo(&["fmt", "--check"]));
    must(&mut cargo(&["clippy", "--quiet", "--all-targets", "--locked", "--", "-D", "warnings"]));
    // As the tutorial says: the first time the types are written.
    let types = ["test", "--locked", "--lib", "types"];
    let (passed, said) = run(&mut cargo(&types));
    assert!(!passed && said.contains("was out of date"), "{said}");
    must(&mut cargo(&types));
    let said = must(&mut cargo(&["test", "--locked"]));
    assert!(said.contains("everyone_sees_the_clicks"), "{said}");
    let libraries = Path::new(REPOSITORY).join("node_modules");
    symlink(&libraries, project.join("node_modules")).unwrap();
    must(Command::new("npm").args(["run", "check"]).current_dir(&project));
}

/// One block: these lines of a file become those. None become those at its end.
struct Step {
    file: String,
    old: String,
    new: String,
    added: usize,
}

impl Step {
    fn take(&self, project: &Path) {
        let Step { file, old, new, .. } = self;
        let text = read(project, file);
        let places = text.match_indices(old).filter(|(at, _)| text[..*at].ends_with('\n')).count();
        let text = match old.is_empty() {
            true => text + new,
            false if places == 1 => text.replacen(&format!("\n{old}"), &format!("\n{new}"), 1),
            false => panic!("{places} times in {file}:\n{old}"),
        };
        fs::write(project.join(file), text).unwrap();
    }
}

fn steps(text: &str) -> Vec<Step> {
    let (_, section) = text.split_once(TITLE).expect(TITLE);
    let section = section.split("\n## ").next().unwrap();
    let parts: Vec<_> = section.split("```").collect();
    let blocks = parts.chunks_exact(2).filter_map(|pair| {
        let diff = pair[1].strip_prefix("diff\n")?;
        let paragraph = pair[0].trim_end().rsplit("\n\n").next()?;
        let path = |word: &&str| word.contains('/') && Path::new(word).extension().is_some();
        let file = paragraph.split('`').find(path).expect(paragraph).to_owned();
        let lines = |marks: [char; 2]| {
            let lines = diff.lines().filter(|line| line.starts_with(marks));
            lines.map(|line| format!("{}\n", &line[1..])).collect::<String>()
        };
        let added = diff.lines().filter(|line| line.starts_with('+')).count();
        Some(Step { file, old: lines([' ', '-']), new: lines([' ', '+']), added })
    });
    blocks.collect()
}
