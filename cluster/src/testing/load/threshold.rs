//! Thresholds: what must be true of a figure in the end.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Such as `join.p99<50ms`.
#[derive(Debug, Clone)]
pub(super) struct Threshold {
    text: String,
    figure: String,
    is_upper: bool,
    value: f64,
}

impl FromStr for Threshold {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Threshold> {
        let at = text.find(['<', '>']).context("expected `<` or `>`, as in join.p99<50ms")?;
        let (figure, value) = (text[..at].trim(), text[at + 1..].trim());
        let unit = value.find(|part: char| part.is_alphabetic()).unwrap_or(value.len());
        let factor = match &value[unit..] {
            "" | "ms" => 1.0,
            "us" | "µs" => 1e-3,
            "s" => 1e3,
            unit => bail!("{unit}: expected a number, or a time in us, ms or s"),
        };
        let value: f64 = value[..unit].trim().parse().context("expected a number")?;
        Ok(Threshold {
            text: text.to_owned(),
            figure: figure.to_owned(),
            is_upper: text[at..].starts_with('<'),
            value: value * factor,
        })
    }
}

impl Threshold {
    /// Fails if no report has such a figure; `report` is one of nothing.
    pub fn check(&self, report: &Value) -> anyhow::Result<()> {
        let is_known = self.figure.starts_with("errors.") || self.look_up(report).is_some();
        match is_known {
            true => Ok(()),
            false => bail!("{}: there is no figure {}", self.text, self.figure),
        }
    }

    /// The figure, and whether it is as it must be. One that could not be measured is not.
    pub fn judge(&self, report: &Value) -> Value {
        let found = self.look_up(report).and_then(Value::as_f64);
        let found = found.or(self.figure.starts_with("errors.").then_some(0.0));
        let passed = found.is_some_and(|found| match self.is_upper {
            true => found < self.value,
            false => found > self.value,
        });
        json!({ "threshold": self.text, "figure": found, "passed": passed })
    }

    /// `server.lobby.cores` is in three objects; `join.p99.9` and errors have a dot in their names.
    fn look_up<'a>(&self, report: &'a Value) -> Option<&'a Value> {
        let (mut at, mut path) = (report, &*self.figure);
        loop {
            if let Some(found) = at.get(path).filter(|found| !found.is_object()) {
                return Some(found);
            }
            let (name, rest) = path.split_once('.')?;
            (at, path) = (at.get(name)?, rest);
        }
    }
}
