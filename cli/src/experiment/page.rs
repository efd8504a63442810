//! `experiment report --html`: the report as a page that needs no other file and no script.

mod curves;
mod heat;
mod rates;
mod svg;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use experiments::campaign::{FactorReport, Rate, Report, RunRecord};

use super::show;
use curves::Curve;
use heat::Heat;
use rates::Group;
use svg::html;

const STYLE: &str = include_str!("page/page.css");
/// The most cells that are drawn, and that are in the table.
const MOST_DRAWN: usize = 60;
const MOST_LISTED: usize = 1000;
/// The most notes and kinds of failures.
const MOST_NOTES: usize = 200;

/// The page of a report and the runs that it is of.
pub(super) fn page(report: &Report, runs: &[RunRecord]) -> String {
    let name = report.about.lines().next().filter(|line| !line.is_empty());
    let title = html(name.unwrap_or(&report.file));
    let mut body = head(report, &title);
    let factors: Vec<_> = report.factors.iter().filter(|it| it.levels.len() > 1).collect();
    section(&mut body, "Rate of failures by factor", &by_factor(&factors));
    section(&mut body, "Rate of failures of each cell", &by_cell(report));
    section(&mut body, "Time to failure", &times(report, &factors, runs));
    section(&mut body, "Two factors", &two_factors(report, &factors));
    section(&mut body, "Kinds of failures", &kinds(report));
    section(&mut body, "Cells", &table(report));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         </body>\n</html>\n"
    )
}

/// Adds a part of the page, unless it is empty.
fn section(body: &mut String, name: &str, content: &str) {
    if !content.is_empty() {
        // Writing to a String can't fail.
        let _ = write!(body, "<section>\n<h2>{name}</h2>\n{content}</section>\n");
    }
}

fn head(report: &Report, title: &str) -> String {
    let Report { runs, asked, failed, .. } = report;
    let rest: Vec<_> = report.about.lines().skip(1).map(html).collect();
    let mut text = format!("<header>\n<h1>{title}</h1>\n");
    if !rest.is_empty() {
        let _ = writeln!(text, "<p>{}</p>", rest.join("<br>"));
    }
    let _ = writeln!(text, "<p class=\"file\">{}</p>\n<ul class=\"tiles\">", html(&report.file));
    for (value, what) in [
        (failed.to_string(), format!("of {runs} runs failed")),
        (runs.to_string(), format!("of {asked} runs made")),
        (report.cells.len().to_string(), "cells".into()),
        (format!("{:.1} s", report.seconds), "of work".into()),
    ] {
        let _ = writeln!(text, "<li><b>{value}</b> {what}</li>");
    }
    text.push_str("</ul>\n</header>\n");
    let notes = show::notes(report);
    let lines: Vec<_> = notes.lines().collect();
    if !lines.is_empty() {
        text.push_str("<ul class=\"notes\">\n");
        for line in lines.iter().take(MOST_NOTES) {
            let _ = writeln!(text, "<li>{}</li>", html(line));
        }
        if let Some(more @ 1..) = lines.len().checked_sub(MOST_NOTES) {
            let _ = writeln!(text, "<li>and {more} more notes, which the text report has</li>");
        }
        text.push_str("</ul>\n");
    }
    text
}

fn by_factor(factors: &[&FactorReport]) -> String {
    let groups: Vec<Group> = factors
        .iter()
        .map(|factor| Group {
            name: factor.factor.replace('_', " "),
            rates: factor.levels.iter().map(|it| (it.value.clone(), it.rate)).collect(),
        })
        .collect();
    if groups.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<p>The runs of all cells with a value are counted together. A line is the interval of 95 \
         %. The factors are in the order of how strongly they are associated with the failures.</p>\n",
    );
    text += &rates::chart(&groups, "The rate of failures for each value of each factor");
    text.push_str("<ul class=\"fine\">\n");
    for factor in factors {
        let (name, strength) = (factor.factor.replace('_', " "), show::strength(factor));
        let _ = writeln!(text, "<li>{}: {}</li>", html(&name), html(&strength));
    }
    text + "</ul>\n"
}

fn by_cell(report: &Report) -> String {
    let cells = report.cells.iter().take(MOST_DRAWN);
    let rates: Vec<_> = cells.map(|cell| (cell.name.clone(), cell.rate)).collect();
    let groups = [Group { name: String::new(), rates }];
    let mut text = rates::chart(&groups, "The rate of failures of each cell");
    if let Some(more @ 1..) = report.cells.len().checked_sub(MOST_DRAWN) {
        let _ = writeln!(text, "<p>{more} more cells are in the table below.</p>");
    }
    text
}

/// The survival curves of the values of the strongest factor, or of all runs.
fn times(report: &Report, factors: &[&FactorReport], runs: &[RunRecord]) -> String {
    let mut curves: Vec<Curve> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    if let Some(factor) = factors.first() {
        for level in &factor.levels {
            places.insert(&level.value, curves.len());
            let value = if level.value.is_empty() { "\"\"" } else { &level.value };
            let name = format!("{} {value}", factor.factor.replace('_', " "));
            curves.push(Curve { name, runs: Vec::new() });
        }
    } else {
        curves.push(Curve { name: "all runs".into(), runs: Vec::new() });
    }
    for run in runs {
        let Some(cell) = report.cells.get(run.cell) else { continue };
        let value = factors.first().and_then(|factor| cell.levels.get(&factor.factor));
        let place = value.map_or(Some(0), |value| places.get(&**value).copied());
        if let Some(curve) = place.and_then(|place| curves.get_mut(place)) {
            curve.runs.push((run.seconds, run.outcome()));
        }
    }
    let more = curves.len().saturating_sub(curves::MOST);
    curves.truncate(curves::MOST);
    let Some(chart) = curves::chart(&curves, "The share of runs that have not failed, by time")
    else {
        return "<p>No run failed.</p>\n".into();
    };
    let mut text = String::from(
        "<p>The share of runs that have not failed by a time (the estimate of Aalen and Johansen). A \
         run that passed stays in it; a run at the time limit, a small mark, counts until then. The \
         time of a hang contains the watchdog's window.</p>\n",
    );
    text += &chart;
    if more > 0 {
        let _ = writeln!(text, "<p>{more} more values are not drawn.</p>");
    }
    text
}

fn two_factors(report: &Report, factors: &[&FactorReport]) -> String {
    let [first, second, ..] = factors else { return String::new() };
    // The one with more values has the rows.
    let (rows, columns) =
        if first.levels.len() >= second.levels.len() { (first, second) } else { (second, first) };
    let values = |factor: &FactorReport| -> Vec<String> {
        factor.levels.iter().take(heat::MOST).map(|level| level.value.clone()).collect()
    };
    let mut cells: BTreeMap<(&str, &str), Vec<Rate>> = BTreeMap::new();
    for cell in &report.cells {
        let of = |factor: &FactorReport| cell.levels.get(&factor.factor).map(|it| &**it);
        if let (Some(row), Some(column)) = (of(rows), of(columns)) {
            cells.entry((row, column)).or_default().push(cell.rate);
        }
    }
    let (row_values, column_values) = (values(rows), values(columns));
    let together = |row: &str, column: &str| cells.get(&(row, column)).map(|it| Rate::together(it));
    let rates: Vec<Vec<_>> = row_values
        .iter()
        .map(|row| column_values.iter().map(|column| together(row, column)).collect())
        .collect();
    let has_stopped = rates.iter().flatten().flatten().any(|rate| rate.too_high);
    let name = |factor: &FactorReport| factor.factor.replace('_', " ");
    let heat =
        Heat { rows: (name(rows), row_values), columns: (name(columns), column_values), rates };
    let mut text = String::from("<p>The rate of failures for two values together.</p>\n");
    text += &heat::chart(&heat, "The rate of failures for each two values of two factors");
    if has_stopped {
        text += "<p>* too high: cells stopped at a failure.</p>\n";
    }
    if rows.levels.len().max(columns.levels.len()) > heat::MOST {
        let _ = writeln!(text, "<p>Only the first {} values are drawn.</p>", heat::MOST);
    }
    text
}

fn kinds(report: &Report) -> String {
    let mut text = String::new();
    for kind in report.kinds.iter().take(MOST_NOTES) {
        let cells: Vec<_> =
            kind.cells.iter().map(|(cell, count)| format!("{count} of {cell}")).collect();
        let _ = write!(
            text,
            "<h3>{} of {}: {}</h3>\n<p class=\"fine\">in {}</p>\n<pre>{}</pre>\n",
            kind.failures,
            report.failed,
            html(&kind.kind),
            html(&cells.join("; ")),
            html(&kind.command)
        );
    }
    text
}

fn table(report: &Report) -> String {
    let mut text = String::from(
        "<div class=\"chart\"><table>\n<tr><th>cell<th>runs<th>failed<th>rate (95 %)<th>median time to \
         failure</tr>\n",
    );
    for cell in report.cells.iter().take(MOST_LISTED) {
        let median = cell.median_failure_seconds;
        let median = median.map_or(String::new(), |seconds| format!("{seconds:.3} s"));
        let _ = writeln!(
            text,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{median}</tr>",
            html(&cell.name),
            cell.rate.runs,
            cell.rate.failed,
            html(&show::rate(&cell.rate)),
        );
    }
    text.push_str("</table></div>\n");
    if let Some(more @ 1..) = report.cells.len().checked_sub(MOST_LISTED) {
        let _ = writeln!(text, "<p>{more} more cells are in the JSON document.</p>");
    }
    text
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
