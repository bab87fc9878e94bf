//! The results: medians, their spread, ratios, as Markdown.

use std::fmt::Write as _;

use crate::programs::System;

/// A line of the table.
pub struct Figure {
    pub title: String,
    pub unit: &'static str,
    pub more_is_better: bool,
    /// One value for each round.
    pub values: Vec<(System, Vec<f64>)>,
}

impl Figure {
    pub fn less(title: impl Into<String>, unit: &'static str) -> Figure {
        Figure { title: title.into(), unit, more_is_better: false, values: Vec::new() }
    }

    pub fn more(title: impl Into<String>, unit: &'static str) -> Figure {
        Figure { more_is_better: true, ..Figure::less(title, unit) }
    }

    pub fn add(&mut self, system: System, value: f64) {
        match self.values.iter_mut().find(|(of, _)| *of == system) {
            Some((_, values)) => values.push(value),
            None => self.values.push((system, vec![value])),
        }
    }

    fn of(&self, system: System) -> Option<&[f64]> {
        self.values.iter().find(|(of, _)| *of == system).map(|(_, values)| &values[..])
    }

    /// A system's median as a multiple of this project's.
    pub fn ratio(&self, system: System) -> Option<f64> {
        let median_of = |system| Some(median(self.of(system)?.iter().copied()));
        Some(median_of(system)? / median_of(System::Cluster)?)
    }

    /// The median, the spread, and the ratio.
    fn cell(&self, system: System) -> String {
        let Some(values) = self.of(system) else { return "–".to_owned() };
        let mut cell = number(median(values.iter().copied()));
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        if values.len() > 1 {
            let _ = write!(cell, " ({} to {})", number(low), number(high));
        }
        if system == System::Cluster {
            return format!("**{cell}**");
        }
        if let Some(ratio) = self.ratio(system) {
            let _ = write!(cell, ", × {}", number(ratio));
        }
        cell
    }
}

/// The table, with a column for each system that has a value.
pub fn table(figures: &[Figure]) -> String {
    let has = |system: &System| figures.iter().any(|figure| figure.of(*system).is_some());
    let systems: Vec<System> = System::ALL.into_iter().filter(has).collect();
    let mut text = "| |".to_owned();
    systems.iter().for_each(|system| text += &format!(" {} |", system.name()));
    text += "\n|---|";
    systems.iter().for_each(|_| text += "---|");
    for figure in figures {
        let _ = write!(text, "\n| {}, {} |", figure.title, figure.unit);
        systems.iter().for_each(|system| text += &format!(" {} |", figure.cell(*system)));
    }
    text + "\n"
}

/// The mean of the two in the middle if their number is even; 0 if there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    (sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0
}

/// 0 if there are no values.
pub fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
}

/// Three digits.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        ..1.0 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    // A thin space would be nicer, and harder to search for.
    match text.len() {
        4.. if digits == 0 => {
            let (thousands, rest) = text.split_at(text.len() - 3);
            format!("{thousands},{rest}")
        }
        _ => text,
    }
}
