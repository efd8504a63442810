//! `experiment compare`: the differences between two campaigns, for people.

use anyhow::Result;
use experiments::campaign::{
    Comparison, ComparisonRow, Difference, LEVEL, NotCompared, Report, Store,
};

use super::show::{escaped, line};
use crate::args::ExperimentCompareArgs;
use crate::document::print_json;
use crate::status::Status;
use crate::tell;

/// Compares, prints, and returns the exit status.
pub(super) fn compare(args: &ExperimentCompareArgs) -> Result<Status> {
    let report = |folder| Report::of(&Store::read(folder)?);
    let (first, second) = (report(&args.first)?, report(&args.second)?);
    let comparison = Comparison::of(&first, &second, args.whole);
    if args.json {
        print_json(&comparison)?;
    } else {
        let names = [&args.first, &args.second].map(|folder| folder.display().to_string());
        tell::output(&text(&comparison, &names))?;
    }
    let status = match (comparison.compared(), comparison.told()) {
        (0, _) => Status::Nothing,
        (_, 0) => return Ok(Status::Clean),
        _ => Status::Failure,
    };
    let what = if comparison.rows.is_empty() {
        "no cell of one campaign has the name of a cell of the other: --whole compares all runs"
    } else {
        &conclusion(&comparison)
    };
    tell::user(&format!("jitterbug: {what}"));
    Ok(status)
}

fn text(comparison: &Comparison, names: &[String; 2]) -> String {
    let mut text = String::new();
    for (letter, (name, campaign)) in ["A", "B"].iter().zip(names.iter().zip(&comparison.campaigns))
    {
        let (failed, runs) = (campaign.failed, campaign.runs);
        line(&mut text, &format!("{letter}: {name}: {failed} of {runs} runs failed"));
    }
    let compared = comparison.compared();
    if !comparison.rows.is_empty() {
        rows(&mut text, &comparison.rows, compared);
    }
    line(&mut text, "");
    line(&mut text, &conclusion(comparison));
    if comparison.told() < compared {
        let what = "The interval has the differences that these runs leave possible";
        line(&mut text, &format!("{what}; more runs make it narrower."));
    }
    for (letter, cells) in ["A", "B"].iter().zip(&comparison.unmatched) {
        if !cells.is_empty() {
            line(&mut text, &format!("Only {letter} has: {}", cells.join("; ")));
        }
    }
    text
}

/// The table.
fn rows(text: &mut String, rows: &[ComparisonRow], compared: usize) {
    let of = |row: &ComparisonRow, side: usize| {
        let rate = &row.rates[side];
        format!("{} of {}", rate.failed, rate.runs)
    };
    let width = |cells: &mut dyn Iterator<Item = String>| {
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let name = width(&mut rows.iter().map(|row| escaped(&row.name)));
    let first = width(&mut rows.iter().map(|row| of(row, 0)).chain(["A".to_owned()]));
    let second = width(&mut rows.iter().map(|row| of(row, 1)).chain(["B".to_owned()]));
    line(text, "");
    let adjusted = if compared > 1 { "p (Holm)" } else { "p" };
    let head = format!(
        "{:name$}  {:>first$}  {:>second$}  {:<30}  {adjusted:<8}",
        "", "A", "B", "B - A (95 %), in points"
    );
    line(text, head.trim_end());
    for row in rows {
        let (one, two) = (of(row, 0), of(row, 1));
        let what = match (&row.difference, row.not_compared) {
            (Some(difference), _) => format!(
                "{:<30}  {:<8}  {}",
                points(difference),
                p_value(difference.adjusted_p),
                verdict(difference)
            ),
            (None, Some(NotCompared::Stopped)) => {
                "not compared: it was run until a failure (failures_per_cell)".into()
            }
            (None, _) => "not compared: no runs".into(),
        };
        let label = escaped(&row.name);
        line(text, &format!("{label:name$}  {one:>first$}  {two:>second$}  {what}"));
    }
}

/// A difference and its interval, in percentage points. The bounds are rounded outwards.
fn points(difference: &Difference) -> String {
    let Difference { difference, low, high, .. } = difference;
    // A bound that has these digits exactly, but for an error of the multiplication, keeps them.
    let low = (low * 1000.0 + 1e-9).floor() / 10.0;
    let high = (high * 1000.0 - 1e-9).ceil() / 10.0;
    format!("{:+.1} ({low:+.1} to {high:+.1})", difference * 100.0)
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".into() } else { format!("{p:.4}") }
}

fn verdict(difference: &Difference) -> &'static str {
    match difference {
        Difference { told: false, .. } => "no difference can be told",
        Difference { difference, .. } if *difference > 0.0 => "B fails more often",
        _ => "B fails less often",
    }
}

/// What the comparison says, in a sentence.
fn conclusion(comparison: &Comparison) -> String {
    let chance = LEVEL * 100.0;
    let correction = if comparison.compared() > 1 {
        ", corrected for the number of cells by Holm's procedure"
    } else {
        ""
    };
    let test = format!("Fisher's exact test at {chance} %{correction}");
    match (comparison.compared(), comparison.told()) {
        (0, _) => "Nothing could be compared.".into(),
        (_, 0) => format!("No difference can be told ({test})."),
        (1, _) => format!("The rates differ ({test})."),
        (all, told) => format!("The rates of {told} of {all} cells differ ({test})."),
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
