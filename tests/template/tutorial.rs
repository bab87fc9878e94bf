//! Follows the tutorial: applies each `diff` block to the file that the paragraph before it names.

use std::fs;
use std::path::Path;

use crate::helpers::{Folder, REPOSITORY, Template, Workshop, read};

const TUTORIAL: &str = "template-hooks/files/README.md";
const TITLE: &str = "## From blank to a working feature in ten lines\n";

#[test]
fn the_tutorial_leads_to_a_working_feature_in_ten_lines() {
    let (template, folder) = (Template::new(), Folder::new());
    let blank = ["--name", "clicks", "--silent", "-d", "example=blank"];
    template.generate(folder.path()).args(&blank).succeed();
    let workshop = Workshop::take(&folder.path().join("clicks"));

    let steps = steps(&read(Path::new(REPOSITORY), TUTORIAL));
    steps.iter().for_each(|step| step.take(&workshop.project));
    let feature = steps.iter().filter(|step| !step.file.starts_with("tests/"));
    let lines: usize = feature.map(|step| step.added).sum();
    assert!((1..=10).contains(&lines), "{lines} lines");

    workshop.lint();
    let said = workshop.test();
    assert!(said.contains("everyone_sees_the_clicks"), "{said}");
    // The lobby of the test has written the new types.
    workshop.check_types().expect("the page is in order");
}

/// One block: replaces the old lines by the new ones. Without old lines, appends.
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
