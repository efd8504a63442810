//! The failures of a search and their files.
//!
//! Failures are grouped by their signature, and the shortest few of each group are kept.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use experiments::hunt::Progress as Searched;
use experiments::observed::FailureSignature;
use experiments::{Finding, commands};
use schemars::JsonSchema;
use serde::Serialize;

use crate::finding_folder::{FindingFile, FindingFolder, print_lost};
use crate::guest::Guest;
use crate::progress::Progress;
use crate::tell;

/// The number of findings of a group that are kept.
const KEPT_PER_GROUP: usize = 3;
/// The number of groups that are kept: a guest decides how many kinds of failures there are.
const MAX_GROUPS: usize = 100;
/// A schedule of this number of characters or more, which fills a screen, is not printed if it is
/// in a file.
const MAX_PRINTED_SCHEDULE: usize = 2000;

/// A failure and the file that it was written to.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Found {
    /// `None` if the file could not be written.
    file: Option<PathBuf>,
    after_seconds: f64,
    finding: Finding,
    /// Whether this search has created the file.
    #[serde(skip)]
    is_ours: bool,
}

/// Failures with the same signature.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Group {
    failure: String,
    times: u64,
    /// The shortest findings.
    files: Vec<PathBuf>,
    #[serde(skip)]
    signature: FailureSignature,
    #[serde(skip)]
    kept: Vec<Found>,
}

/// The failures of a search.
pub(super) struct Findings<'a> {
    folder: FindingFolder<'a>,
    /// Whether there may be more failures. The files are then listed at the end, because some may
    /// be replaced.
    many: bool,
    start: Instant,
    groups: Vec<Group>,
    /// Failures of further kinds.
    ungrouped: u64,
    lost: bool,
}

impl<'a> Findings<'a> {
    /// Fails before the work begins if no file can be written in the folder.
    pub(super) fn check(folder: &'a Path, guest: &'a Guest, many: bool) -> Result<Self> {
        let folder = FindingFolder::check(folder, guest)?;
        Ok(Self {
            folder,
            many,
            start: Instant::now(),
            groups: Vec::new(),
            ungrouped: 0,
            lost: false,
        })
    }

    /// Whether a finding could not be written.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The groups, in the order in which they were found.
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Failures whose kind is none of the groups', because there are too many.
    pub(super) fn ungrouped(&self) -> u64 {
        self.ungrouped
    }

    /// The findings that are kept, in the order of their runs.
    pub(super) fn kept(&self) -> Vec<&Found> {
        let mut kept: Vec<_> = self.groups.iter().flat_map(|group| &group.kept).collect();
        kept.sort_by_key(|found| found.finding.search.run);
        kept
    }

    /// The finding to explain: the shortest one with the signature of the first failure.
    /// The path is that of its file, if it could be written.
    pub(super) fn first(&self) -> Option<(&Finding, Option<&Path>)> {
        let found = self.groups.first()?.kept.first()?;
        Some((&found.finding, found.file.as_deref()))
    }

    /// Adds a failure.
    pub(super) fn add(&mut self, progress: &Progress, finding: &Finding, searched: &Searched) {
        let is_first = self.groups.is_empty();
        let Some(group) = group(&mut self.groups, finding.signature()) else {
            self.ungrouped += 1;
            return;
        };
        group.times += 1;
        // Once a file could not be written, the search ends. A run that had ended before that is
        // counted, and its finding is needed only if it is the first of its kind.
        if self.lost && group.times > 1 {
            return;
        }
        let is_full = group.kept.len() == KEPT_PER_GROUP;
        if is_full && group.kept.last().is_some_and(|last| length(&last.finding) <= length(finding))
        {
            return;
        }
        let after_seconds = self.start.elapsed().as_secs_f64();
        let written = self.folder.write(finding);
        if !is_full || written.is_err() {
            let file = written.as_ref().ok().filter(|_| !self.many).map(|file| file.path.as_path());
            show(progress, finding, file, searched, after_seconds, is_first);
        }
        let (file, is_ours) = match written {
            Ok(FindingFile { path, is_ours }) => (Some(path), is_ours),
            Err(error) => {
                self.lost = true;
                print_lost(finding, &error, |text| progress.print(text));
                (None, false)
            }
        };
        let found = Found { file, after_seconds, finding: finding.clone(), is_ours };
        let at = group.kept.partition_point(|kept| length(&kept.finding) <= length(finding));
        group.kept.insert(at, found);
        if group.kept.len() > KEPT_PER_GROUP
            && let Some(Found { file: Some(file), is_ours: true, .. }) = group.kept.pop()
        {
            // It was a longer finding of the same kind: whether it can be removed makes no
            // difference.
            let _ = std::fs::remove_file(file);
        }
        group.files = group.kept.iter().filter_map(|found| found.file.clone()).collect();
    }

    /// Lines that summarise several failures.
    pub(super) fn lines(&self) -> Vec<String> {
        if !self.many {
            return Vec::new();
        }
        let line = |group: &Group| {
            let times = if group.times == 1 { "time" } else { "times" };
            let reproduce =
                group.files.first().map(|file| format!(": jitterbug replay {}", quoted(file)));
            let reproduce = reproduce.unwrap_or_default();
            format!("jitterbug: {} {times}: {}{reproduce}", group.times, group.failure)
        };
        let rest = (self.ungrouped > 0).then(|| {
            let (times, most) = (self.ungrouped, MAX_GROUPS);
            format!("jitterbug: {times} more failures, which are of none of these {most} kinds: not kept")
        });
        self.groups.iter().map(line).chain(rest).collect()
    }
}

/// The group of failures with this signature, which is a new one if there is room.
fn group(groups: &mut Vec<Group>, signature: FailureSignature) -> Option<&mut Group> {
    let known = groups.iter().position(|group| group.signature == signature);
    if known.is_none() && groups.len() < MAX_GROUPS {
        let failure = signature.to_string();
        groups.push(Group { failure, times: 0, files: Vec::new(), signature, kept: Vec::new() });
        return groups.last_mut();
    }
    known.map(|number| &mut groups[number])
}

/// The length of a finding's schedule: its segments, then its points.
fn length(finding: &Finding) -> (usize, u64) {
    (finding.run.switches.len(), finding.run.points)
}

fn show(
    progress: &Progress,
    finding: &Finding,
    file: Option<&Path>,
    searched: &Searched,
    seconds: f64,
    in_full: bool,
) {
    progress.print(&format!(
        "jitterbug: {} in run {} after {seconds:.2} s ({} runs)",
        finding.verdict, finding.search.run, searched.runs
    ));
    if in_full {
        for row in &finding.waits {
            progress.print(&row.to_string());
        }
        for fault in &finding.faults {
            progress.print(&fault.to_string());
        }
        progress.print(&match (finding.schedule.len(), file) {
            (length @ MAX_PRINTED_SCHEDULE.., Some(_)) => {
                format!("schedule: {length} characters, in the file below")
            }
            _ => format!("schedule: {}", finding.schedule),
        });
    }
    if let Some(file) = file {
        progress.print(&format!("again: jitterbug replay {}", quoted(file)));
    }
}

/// A path, quoted for a shell.
pub(super) fn quoted(path: &Path) -> String {
    commands::quoted(&path.display().to_string()).into_owned()
}

/// Prints the summary of several failures.
pub(super) fn tell(found: &Findings) {
    found.lines().iter().for_each(|line| tell::user(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_does_not_decide_how_many_groups_there_are() {
        let signature = |number: usize| FailureSignature::new(&format!("failure {number}"), &[]);
        let mut groups = Vec::new();
        for number in 0..MAX_GROUPS {
            group(&mut groups, signature(number)).unwrap().times += 1;
        }
        assert!(group(&mut groups, signature(MAX_GROUPS)).is_none());
        assert_eq!(groups.len(), MAX_GROUPS);
        // Those that are there go on.
        group(&mut groups, signature(7)).unwrap().times += 1;
        assert_eq!((groups[6].times, groups[7].times), (1, 2));
    }
}
