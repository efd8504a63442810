//! The report of a campaign for people.

use experiments::campaign::{
    CellReport, Ended, FactorReport, FaultReport, NothingToTell, Rate, Report,
};

use super::percent::{Round, percent};

/// Why a campaign ended before all runs were made.
pub(super) fn why(ended: Ended) -> &'static str {
    match ended {
        Ended::Complete => "complete",
        Ended::OutOfRuns => "the budget of runs is used up",
        Ended::OutOfTime => "the budget of time is used up",
        Ended::Interrupted => "interrupted",
        Ended::Error => "ended by an error",
    }
}

/// The report.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for about in report.about.lines() {
        line(&mut text, about);
    }
    let part = match &*report.shard {
        "1/1" => String::new(),
        shard => format!(" (part {shard})"),
    };
    line(
        &mut text,
        &format!(
            "{}{part}: {} of {} runs made, {} failed, {:.1} s of work",
            report.file, report.runs, report.asked, report.failed, report.seconds
        ),
    );
    cells(&mut text, &report.cells);
    text.push_str(&notes(report));
    for kind in &report.kinds {
        line(&mut text, "");
        line(&mut text, &format!("{} of {}: {}", kind.failures, report.failed, kind.kind));
        let cells: Vec<_> =
            kind.cells.iter().map(|(cell, count)| format!("{count} of {cell}")).collect();
        line(&mut text, &format!("  in {}", cells.join("; ")));
    }
    factors(&mut text, &report.factors, report.cells.len());
    let commands: Vec<_> = report.cells.iter().filter_map(|cell| cell.command.as_ref()).collect();
    if !commands.is_empty() {
        line(&mut text, "");
        line(&mut text, "The first failure of each cell, run again (in real time it may pass):");
        for command in commands {
            // Its control characters are in the shell's own form.
            text.push_str("  ");
            text.push_str(command);
            text.push('\n');
        }
    }
    text
}

/// What a reader must know about the figures, a line each.
pub(super) fn notes(report: &Report) -> String {
    let mut text = String::new();
    not_made(&mut text, &report.cells, report.budget_used_up);
    if report.builds.len() > 1 {
        let builds = report.builds.iter().map(|(build, runs)| format!("{build} ({runs} runs)"));
        let builds: Vec<_> = builds.collect();
        let what = "Several builds of jitterbug have made the runs, which may differ";
        line(&mut text, &format!("{what}: {}", builds.join(", ")));
    }
    text
}

/// Adds a line. Names and values are the user's: their control characters are escaped.
pub(super) fn line(text: &mut String, content: &str) {
    text.push_str(&escaped(content));
    text.push('\n');
}

/// A text whose control characters are escaped, so that they don't reach the terminal.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn cells(text: &mut String, cells: &[CellReport]) {
    let width = cells.iter().map(|cell| cell.name.chars().count()).max().unwrap_or(0);
    let rates: Vec<String> = cells.iter().map(|cell| rate(&cell.rate)).collect();
    let rate_width = rates.iter().map(String::len).max().unwrap_or(0).max(27);
    line(text, "");
    line(
        text,
        &format!(
            "{:width$}  {:>6}  {:>6}  {:<rate_width$}  median time to failure",
            "", "runs", "failed", "rate (95 %)"
        ),
    );
    for (cell, rate) in cells.iter().zip(rates) {
        let median = cell.median_failure_seconds;
        let median = median.map_or(String::new(), |seconds| format!("{seconds:.3} s"));
        let Rate { runs, failed, .. } = cell.rate;
        let row =
            format!("{:width$}  {runs:>6}  {failed:>6}  {rate:<rate_width$}  {median}", cell.name);
        line(text, row.trim_end());
    }
}

/// A rate and its interval, or its upper bound if there were no failures.
pub(super) fn rate(rate: &Rate) -> String {
    let estimate = rate.rate.map_or("unknown".into(), |rate| percent(rate, Round::Nearest));
    match (rate.low, rate.high, rate.below) {
        (_, _, Some(below)) => format!("0 %, below {}", percent(below, Round::Up)),
        (Some(low), Some(high), _) => {
            format!("{estimate} ({} to {})", percent(low, Round::Down), percent(high, Round::Up))
        }
        _ if rate.too_high => format!("{estimate}, too high: cells stopped at a failure"),
        _ => estimate,
    }
}

/// What was asked for and did not come to its end, and what the table can't say.
fn not_made(text: &mut String, cells: &[CellReport], budget_used_up: bool) {
    for cell in cells {
        let CellReport { name, asked, rate, time_limit, stopped, cut_short, .. } = cell;
        let runs = rate.runs;
        if runs < *asked {
            let why = match (stopped, budget_used_up) {
                (true, _) => "it had failed often enough",
                (false, true) => "the budget was used up",
                (false, false) => "not run yet",
            };
            line(text, &format!("{name}: {} of {asked} runs were not made: {why}", asked - runs));
        }
        if let Some(last) = rate.until_last {
            let how = "the rate is by inverse sampling, of the runs up to its last wanted failure";
            line(text, &format!("{name}: {how}: {last} of {runs}"));
        }
        if cell.idle_jitter {
            line(text, &format!("{name}: jitter injected nothing in its {runs} runs"));
        }
        for fault in &cell.faults {
            line(text, &format!("{name}: {}", struck(fault, runs)));
        }
        if *time_limit > 0 {
            let what = "reached the time limit, which counts as no failure";
            line(text, &format!("{name}: {time_limit} of {runs} runs {what}"));
        }
        if *cut_short > 0 {
            let what = "were cut short by a signal and are not counted";
            line(text, &format!("{name}: {cut_short} runs {what}"));
        }
    }
    if cells.iter().any(|cell| cell.cut_short > 0) {
        let what = "Runs that fail last longer, so a signal cuts more of them short";
        line(text, &format!("{what}: the rates may be too low."));
    }
}

/// How often a fault struck in the runs of a cell.
pub(super) fn struck(report: &FaultReport, of: u64) -> String {
    let FaultReport { fault, matched, struck, runs } = report;
    match (struck, matched) {
        (0, 0) => format!("fault {fault} never struck in {of} run(s): it had no occasion"),
        (0, _) => format!("fault {fault} never struck in {of} run(s), of {matched} occasions"),
        _ => format!(
            "fault {fault} struck {struck} times in {runs} of {of} runs, of {matched} occasions"
        ),
    }
}

fn factors(text: &mut String, factors: &[FactorReport], cells: usize) {
    if factors.is_empty() {
        return;
    }
    line(text, "");
    line(text, "Factors, by how much they move the rate (corrected Cramer's V, from 0 to 1):");
    for factor in factors {
        let strength = strength(factor);
        line(text, &format!("  {}: {strength}", factor.factor.replace('_', " ")));
        // A factor whose values are the cells has been shown above.
        let is_shown = factor.levels.len() == cells;
        for level in factor.levels.iter().filter(|_| !is_shown) {
            let Rate { runs, failed, .. } = level.rate;
            let value = if level.value.is_empty() { "\"\"" } else { &level.value };
            line(text, &format!("    {value}: {failed} of {runs}, {}", rate(&level.rate)));
        }
    }
}

/// How strongly a factor and the failures are associated, and how far that can be trusted.
pub(super) fn strength(factor: &FactorReport) -> String {
    let Some(it) = &factor.association else {
        let why = match factor.nothing_to_tell {
            None | Some(NothingToTell::NoRuns) => "there are no runs",
            Some(NothingToTell::OneValue) => "only one value has runs",
            Some(NothingToTell::NoneFailed) => "no run failed",
            Some(NothingToTell::AllFailed) => "all runs failed",
        };
        return format!("nothing to tell: {why}");
    };
    let mut text = format!(
        "V {:.2}, chi-square {:.1}, {} degrees of freedom",
        it.cramers_v, it.chi_square, it.degrees
    );
    if it.too_few_runs {
        text.push_str("; too few runs to trust this (an expected count is below 5)");
    }
    let has_stopped = |rate: &Rate| rate.too_high || rate.until_last.is_some();
    if factor.levels.iter().any(|level| has_stopped(&level.rate)) {
        text.push_str("; not exact: cells stopped at a failure");
    }
    text
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
