//! The report of a campaign for people.

use std::fmt::Write as _;

use experiments::campaign::{CellReport, Ended, FactorReport, Rate, Report};

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
    if !report.about.is_empty() {
        line(&mut text, &report.about);
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
    not_made(&mut text, &report.cells);
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
            line(&mut text, &format!("  {command}"));
        }
    }
    text
}

fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}

fn cells(text: &mut String, cells: &[CellReport]) {
    let width = cells.iter().map(|cell| cell.name.chars().count()).max().unwrap_or(0);
    line(text, "");
    line(
        text,
        &format!(
            "{:width$}  {:>6}  {:>6}  {:<27}  median time to failure",
            "", "runs", "failed", "rate (95 %)"
        ),
    );
    for cell in cells {
        let median = cell.median_failure_seconds;
        let median = median.map_or(String::new(), |seconds| format!("{seconds:.3} s"));
        let Rate { runs, failed, .. } = cell.rate;
        let row = format!(
            "{:width$}  {runs:>6}  {failed:>6}  {:<27}  {median}",
            cell.name,
            rate(&cell.rate),
        );
        line(text, row.trim_end());
    }
}

/// A rate and its interval, or its upper bound if there were no failures.
fn rate(rate: &Rate) -> String {
    match (rate.rate, rate.low, rate.high, rate.below) {
        (_, _, _, Some(below)) => format!("0 %, below {}", percent(below)),
        (Some(rate), Some(low), Some(high), _) => {
            format!("{} ({} to {})", percent(rate), percent(low), percent(high))
        }
        _ => "unknown".into(),
    }
}

fn percent(rate: f64) -> String {
    let digits = if rate > 0.0 && rate < 0.01 { 2 } else { 1 };
    format!("{:.digits$} %", rate * 100.0)
}

/// What was asked for and did not come to its end.
fn not_made(text: &mut String, cells: &[CellReport]) {
    for cell in cells {
        let CellReport {
            name, asked, rate: Rate { runs, .. }, time_limit, stopped, cut_short, ..
        } = cell;
        if runs < asked {
            let why = if *stopped { "it had failed often enough" } else { "not run yet" };
            line(text, &format!("{name}: {} of {asked} runs were not made: {why}", asked - runs));
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

fn factors(text: &mut String, factors: &[FactorReport], cells: usize) {
    if factors.is_empty() {
        return;
    }
    line(text, "");
    line(text, "Factors, by how much they move the rate (Cramer's V, from 0 to 1):");
    for factor in factors {
        let strength = match &factor.association {
            Some(it) => format!(
                "V {:.2}, chi-square {:.1}, {} degrees of freedom",
                it.cramers_v, it.chi_square, it.degrees
            ),
            None => "nothing to tell: the runs of all values came out the same way".into(),
        };
        line(text, &format!("  {}: {strength}", factor.factor.replace('_', " ")));
        // A factor whose values are the cells has been shown above.
        let is_shown = factor.levels.len() == cells;
        for level in factor.levels.iter().filter(|_| !is_shown) {
            let Rate { runs, failed, .. } = level.rate;
            // Writing to a String can't fail.
            let _ =
                writeln!(text, "    {}: {failed} of {runs}, {}", level.value, rate(&level.rate));
        }
    }
}
