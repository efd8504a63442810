//! The checks after each process.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use experiments::Finding;
use serde_json::Value;

use crate::draw::{Drawn, Kind, Random};
use crate::place::Place;
use crate::process::Ending;
use crate::rest::{Kept, Long, is_finding};
use crate::status;

/// The promised maximum time from a signal to the end of the program.
pub(crate) const PROMISED: Duration = Duration::from_secs(1);
/// The additional time that is allowed on a busy host. If the end after `kill -9`, for which the
/// program does nothing, took longer, that time is allowed.
pub(crate) const SLACK: Duration = Duration::from_secs(1);
/// The beginning and the end of the names of findings that are not yet complete.
const PART: (&str, &str) = (".jitterbug-", ".part");
/// How many findings of a place are replayed.
const REPLAYED: usize = 2;

/// Checks how the process ended.
pub(crate) fn ending(drawn: &Drawn, ending: &Ending, place: &Place) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(threads) = &ending.stuck {
        problems.push(format!("it did not end, and was killed; its threads: {threads}"));
    }
    problems.extend(status::wrong(drawn, ending, place));
    problems
}

/// Checks the output of the process.
pub(crate) fn what_was_said(
    drawn: &Drawn,
    ending: &Ending,
    place: &Place,
    kept: &Kept,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let (Some(stdout), true, false) = (&ending.stdout, drawn.json, ending.died()) {
        problems.extend(document(drawn, stdout, ending, place));
    }
    let Some(stderr) = &ending.stderr else { return problems };
    for sign in ["panicked", "RUST_BACKTRACE", "bug in jitterbug", "came out differently"] {
        if stderr.contains(sign) {
            problems.push(format!("it says `{sign}`"));
        }
    }
    for file in named(stderr) {
        if !file.exists() {
            problems.push(format!("{}: it is named, and is not there", file.display()));
        }
    }
    // A process that was killed may have been printing the finding.
    if stderr.contains(": the finding follows") && !ending.died() {
        problems.extend(told_finding(stderr, kept).err());
    }
    problems
}

/// Checks that the document of `--json` is complete, and that the files that it names exist.
fn document(drawn: &Drawn, stdout: &str, ending: &Ending, place: &Place) -> Vec<String> {
    if stdout.is_empty() {
        // The command was refused, or had nothing to print.
        let refused = place.is_bad() || ending.status.code() == Some(2);
        let before_all = || ending.stderr.as_deref().is_none_or(status::ended_while_reading);
        let stopped = matches!(ending.status.code(), Some(130 | 143))
            && (drawn.kind == Kind::Explain || before_all());
        return if refused || stopped { Vec::new() } else { vec!["no JSON".into()] };
    }
    let document: Value = match serde_json::from_str(stdout) {
        Ok(document) => document,
        Err(error) => return vec![format!("its JSON is damaged: {error}")],
    };
    let findings = document["findings"].as_array().into_iter().flatten();
    let files = findings.filter_map(|found| found["file"].as_str()).map(PathBuf::from);
    let missing = files.filter(|file| !file.exists());
    missing
        .map(|file| format!("{}: its JSON names it, and it is not there", file.display()))
        .collect()
}

/// The files of findings that a search names.
fn named(stderr: &str) -> Vec<PathBuf> {
    let lines = stderr.lines().filter_map(|line| line.split_once(": jitterbug replay "));
    lines.map(|(_, file)| PathBuf::from(file)).filter(|file| is_finding(file)).collect()
}

/// Checks that a finding that could not be written was printed completely, and is reproduced.
fn told_finding(stderr: &str, kept: &Kept) -> Result<(), String> {
    let (_, text) = stderr.split_once(": the finding follows\n").unwrap_or_default();
    let lines = text.lines().take_while(|line| !line.starts_with("jitterbug: "));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    Finding::from_text(&text).map_err(|error| format!("the finding that it told: {error}"))?;
    let file = kept.folder.join("told.finding");
    fs::write(&file, text).map_err(|error| error.to_string())?;
    kept.replays(&file).map_err(|error| format!("the finding that it told: replay: {error}"))
}

/// What processes have left in a place.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) findings: usize,
    pub(crate) replayed: usize,
    /// Temporary files that were never renamed.
    pub(crate) parts: usize,
    pub(crate) problems: Vec<String>,
}

/// Checks that every finding is complete, and that nothing else is left.
pub(crate) fn files(place: &Place, died: bool, kept: &Kept, random: &mut Random) -> Left {
    let mut left = Left::default();
    let mut findings = Vec::new();
    for file in place.files() {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_finding(&file) {
            left.problems.extend(Finding::read(&file).err().map(|error| error.to_string()));
            findings.push(file);
        } else if name.starts_with(PART.0) && name.ends_with(PART.1) {
            left.parts += 1;
            if !died {
                left.problems.push(format!("{name} is left, and nobody was killed"));
            }
        } else if name != "page.html" && name != "trace" {
            left.problems.push(format!("{name} is left"));
        }
    }
    left.findings = findings.len();
    for _ in 0..REPLAYED.min(findings.len()) {
        let file = findings.swap_remove(random.below(findings.len() as u64) as usize);
        left.replayed += 1;
        let reproduce = kept.replays(&file);
        left.problems
            .extend(reproduce.err().map(|error| format!("replay {}: {error}", name(&file))));
    }
    left
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Processes that remain after the others have ended: members of their groups, or children of this
/// process.
pub(crate) fn orphans(endings: &[Ending], long: &Long) -> Vec<String> {
    let groups: HashSet<u32> = endings.iter().map(|ending| ending.pid).collect();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut orphans = Vec::new();
    for entry in entries {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name in parentheses come state, parent and group.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(1);
        let mut number = || fields.next().and_then(|field| field.parse::<u32>().ok());
        let (parent, group) = (number(), number());
        let ours = parent == Some(std::process::id()) && pid != long.pid();
        if ours || group.is_some_and(|group| groups.contains(&group)) {
            orphans.push(stat.trim().to_owned());
        }
    }
    orphans
}
