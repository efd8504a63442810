//! Test cases in text files: a script, what is done with it, and the text that is expected.
//! tests/scripts/README.md describes the format.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What an expectation may have in place of lines, or of text in a line.
const LEFT_OUT: &str = "...";
/// The ending of the files' names.
const ENDING: &str = ".test";
/// The key that begins a case.
const NAME: &str = "NAME";
/// The indentation of the lines of a value.
const INDENT: &str = "    ";

/// A key of a case, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    value: String,
    line: usize,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// The name of the case's file, without its folder and ending.
    pub(crate) file: String,
    /// The line of the case's name, from 1.
    pub(crate) line: usize,
    /// The case's name.
    pub(crate) name: String,
    entries: Vec<Entry>,
}

impl Case {
    /// The value of a key; `None` if the case has no such key.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.values(key).next()
    }

    /// The values of a key that may occur several times.
    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let entries = self.entries.iter().filter(move |entry| entry.key == key);
        entries.map(|entry| entry.value.as_str())
    }

    /// Compares a text with the expectation of this key. The error is the place and a diff.
    pub(crate) fn compare(&self, key: &str, found: &str) -> Result<(), String> {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        let (expected, line) = entry.map_or(("", self.line), |entry| (&entry.value, entry.line));
        let expected: Vec<&str> = expected.lines().collect();
        let found: Vec<&str> = found.lines().map(str::trim_end).collect();
        if matches(&expected, &found) {
            return Ok(());
        }
        let missing = if entry.is_some() { "" } else { ", which the case lacks" };
        Err(format!(
            "{}{ENDING}:{line}: {}: {key}{missing}\n{}",
            self.file,
            self.name,
            diff(&expected, &found)
        ))
    }
}

/// Reads all cases of a folder. `keys` are the keys that a case may have; those that begin with
/// `EXPECT` are expectations. A key that is in `several` may occur more than once in a case.
pub(crate) fn read(folder: &Path, keys: &[&str], several: &[&str]) -> Result<Vec<Case>, String> {
    let listed = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ENDING));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        cases.extend(parse(name.trim_end_matches(ENDING), &text, keys, several)?);
    }
    if cases.is_empty() {
        return Err(format!("{}: there is no case", folder.display()));
    }
    Ok(cases)
}

/// Reads the cases of a file.
pub(crate) fn parse(
    file: &str,
    text: &str,
    keys: &[&str],
    several: &[&str],
) -> Result<Vec<Case>, String> {
    let error = |line: usize, problem: String| Err(format!("{file}{ENDING}:{line}: {problem}"));
    let mut cases: Vec<Case> = Vec::new();
    let mut names = BTreeSet::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((line, text)) = lines.next() {
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, first) = text.split_once(' ').unwrap_or((text, ""));
        if key != NAME && !keys.contains(&key) {
            let known = keys.join(", ");
            return error(line, format!("unknown key {key:?}: expected {NAME}, {known}"));
        }
        let mut value: Vec<&str> = Vec::new();
        value.extend((!first.is_empty()).then_some(first));
        while let Some((_, more)) =
            lines.next_if(|(_, more)| more.starts_with(INDENT) || more.trim().is_empty())
        {
            value.push(more.strip_prefix(INDENT).unwrap_or_default());
        }
        // Empty lines at the end of a value only separate it from what follows.
        while value.last().is_some_and(|last| last.trim().is_empty()) {
            value.pop();
        }
        let value = value.join("\n");
        if key == NAME {
            if value.is_empty() || !names.insert(value.clone()) {
                return error(line, format!("{value:?}: a case needs a name of its own"));
            }
            cases.push(Case { file: file.into(), line, name: value, entries: Vec::new() });
            continue;
        }
        let Some(case) = cases.last_mut() else {
            return error(line, format!("{key} before the first {NAME}"));
        };
        if case.value(key).is_some() && !several.contains(&key) {
            return error(line, format!("{key} is there twice"));
        }
        case.entries.push(Entry { key: key.into(), value, line });
    }
    if cases.is_empty() {
        return error(1, "there is no case in this file".into());
    }
    let expects = |case: &Case| case.entries.iter().any(|entry| entry.key.starts_with("EXPECT"));
    match cases.iter().find(|case| !expects(case)) {
        Some(case) => error(case.line, format!("{} expects nothing", case.name)),
        None => Ok(cases),
    }
}

/// Runs each case, and fails with the messages of all that failed.
pub(crate) fn run_all<'a>(
    cases: impl IntoIterator<Item = &'a Case>,
    run: impl Fn(&Case) -> Result<(), String>,
) -> Result<usize, String> {
    let results: Vec<_> = cases.into_iter().map(run).collect();
    let count = results.len();
    let failed: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    match failed.len() {
        0 => Ok(count),
        failures => Err(format!("{failures} of {count} cases failed:\n{}", failed.join("\n"))),
    }
}

/// Whether lines agree with an expectation, in which a line `...` stands for any number of lines,
/// and `...` within a line for any text.
pub(crate) fn matches(expected: &[&str], found: &[&str]) -> bool {
    match expected {
        [] => found.is_empty(),
        [LEFT_OUT, rest @ ..] => (0..=found.len()).any(|skipped| matches(rest, &found[skipped..])),
        [line, rest @ ..] => match found {
            [first, others @ ..] => line_matches(line, first) && matches(rest, others),
            [] => false,
        },
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    match expected.split_once(LEFT_OUT) {
        None => expected == found,
        Some((before, rest)) => found.strip_prefix(before).is_some_and(|left| {
            left.char_indices()
                .map(|(at, _)| at)
                .chain([left.len()])
                .any(|at| line_matches(rest, &left[at..]))
        }),
    }
}

/// The lines that differ, between those at the start and at the end that agree.
fn diff(expected: &[&str], found: &[&str]) -> String {
    let agree = |(a, b): &(&&str, &&str)| line_matches(a, b);
    let start = expected.iter().zip(found).take_while(agree).count();
    let (expected_rest, found_rest) = (&expected[start..], &found[start..]);
    let end = expected_rest.iter().rev().zip(found_rest.iter().rev()).take_while(agree).count();
    let middle = |lines: &[&str]| lines[..lines.len() - end].join("\n");
    let marked = |mark: &str, lines: &str| {
        lines.lines().map(|line| format!("{mark} {line}\n")).collect::<Vec<_>>().concat()
    };
    let same = expected[..start].join("\n");
    let behind = expected_rest[expected_rest.len() - end..].join("\n");
    [
        marked(" ", &same),
        marked("-", &middle(expected_rest)),
        marked("+", &middle(found_rest)),
        marked(" ", &behind),
    ]
    .concat()
}
