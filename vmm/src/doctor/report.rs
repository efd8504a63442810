//! The report: rows as data, and as a table.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::outcome::{Cost, Verdict};
use super::platform::Platform;

/// A purpose, and the mechanism chosen for it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Choice {
    /// The purpose.
    pub purpose: &'static str,
    /// The mechanism.
    pub mechanism: String,
}

/// The result of examining one mechanism.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Finding {
    /// The heading of its group.
    pub group: &'static str,
    /// Its identifier for programs, which stays the same in later versions.
    pub id: &'static str,
    /// Its name for users.
    pub name: &'static str,
    /// Whether it works.
    pub verdict: Verdict,
    /// The cost of one use, where this makes sense: the median of several measurements.
    pub cost: Option<Cost>,
    /// What was observed.
    pub detail: String,
    /// What jitterbug does instead where the mechanism doesn't (fully) work.
    pub instead: Option<&'static str>,
}

/// All results of the doctor.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Report {
    /// The host.
    pub platform: Platform,
    /// One row for each mechanism.
    pub rows: Vec<Finding>,
    /// The mechanisms that jitterbug uses.
    pub choices: Vec<Choice>,
    /// The time that the examination took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub elapsed: Duration,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Report {
    /// The row with this id.
    pub fn row(&self, id: &str) -> Option<&Finding> {
        self.rows.iter().find(|row| row.id == id)
    }
}

/// The widths of the table's columns: two blanks, name, verdict, cost, text.
const NAME: usize = 29;
const VERDICT: usize = 8;
const COST: usize = 7;
const TEXT: usize = 100 - TEXT_AT;
const TEXT_AT: usize = 2 + NAME + 1 + VERDICT + 1 + COST + 2;
/// The width of the column with a choice's purpose.
const PURPOSE: usize = 22;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in wrap(&self.platform.to_string(), 100) {
            writeln!(f, "{line}")?;
        }
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                group = row.group;
                writeln!(f, "\n{group}")?;
            }
            write!(f, "{row}")?;
        }
        writeln!(f, "\nWhat jitterbug uses here")?;
        for choice in &self.choices {
            let mut purpose = choice.purpose;
            for line in wrap(&choice.mechanism, 100 - PURPOSE - 4) {
                writeln!(f, "  {purpose:PURPOSE$}  {line}")?;
                purpose = "";
            }
        }
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let works = count(Verdict::Works);
        write!(f, "\n{} mechanisms examined in ", self.rows.len())?;
        write!(f, "{}: {works} work", Cost::from(self.elapsed))?;
        let others =
            [Verdict::Partly, Verdict::Missing, Verdict::Silent, Verdict::Hangs, Verdict::Untested];
        for verdict in others {
            match count(verdict) {
                0 => {}
                n => write!(f, ", {n} {verdict}")?,
            }
        }
        writeln!(f)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = self.cost.map(|cost| cost.to_string()).unwrap_or_default();
        let mut text = self.detail.clone();
        if let Some(instead) = self.instead {
            text += "; instead: ";
            text += instead;
        }
        let mut lines = wrap(&text, TEXT).into_iter();
        let first = lines.next().unwrap_or_default();
        let head = format!(
            "  {:NAME$} {:VERDICT$} {cost:>COST$}  {first}",
            self.name,
            self.verdict.name()
        );
        writeln!(f, "{}", head.trim_end())?;
        for line in lines {
            writeln!(f, "{:TEXT_AT$}{line}", "")?;
        }
        Ok(())
    }
}

/// Breaks a text between words into lines of at most `width` characters; longer words are cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word: String = word.chars().take(width).collect();
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
