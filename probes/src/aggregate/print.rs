//! Prints aggregates as `VProbes` did, and histograms as bars.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::key::Parts;
use super::{Cell, Kind, Shape};

/// The length of the longest bar in columns.
const BAR: u64 = 40;

/// The header, then a line for each key. The key with the largest figure comes last, where it is
/// easiest to see in a terminal.
pub(super) fn lines(shape: &Shape, cells: &BTreeMap<Box<[u8]>, Cell>) -> Vec<Vec<u8>> {
    let mut lines = vec![header(shape).into_bytes()];
    let mut rows: Vec<_> = cells.iter().collect();
    // The sort is stable: keys with equal figures stay in the order of the keys.
    rows.sort_by_key(|(_, cell)| rank(shape.kind, cell));
    for (key, cell) in rows {
        let mut line = b"  ".to_vec();
        line.extend_from_slice(shape.name.as_bytes());
        line.push(b'[');
        write_key(shape, key, &mut line);
        line.extend_from_slice(b"] == ");
        line.extend_from_slice(figures(shape.kind, cell).as_bytes());
        lines.push(line);
        bars(cell, &mut lines);
    }
    lines
}

fn header(shape: &Shape) -> String {
    let keys = |count: usize| if count == 1 { "key" } else { "keys" };
    let (name, integers, strings) = (&shape.name, shape.integers, shape.strings);
    let stack = if shape.stack.is_some() { " (1 stack key)" } else { "" };
    format!(
        "aggr: {name} ({integers} integer {}) ({strings} string {}){stack}",
        keys(integers),
        keys(strings)
    )
}

fn rank(kind: Kind, cell: &Cell) -> u128 {
    match kind {
        Kind::Classic | Kind::Count | Kind::Histogram | Kind::Linear(_) => u128::from(cell.count),
        Kind::Sum => cell.sum,
        Kind::Average | Kind::Deviation => u128::from(cell.average()),
        Kind::Minimum => u128::from(cell.minimum),
        Kind::Maximum => u128::from(cell.maximum),
    }
}

fn figures(kind: Kind, cell: &Cell) -> String {
    let Cell { count, sum, minimum, maximum, latest, .. } = cell;
    let average = cell.average();
    match kind {
        Kind::Classic => {
            format!("avg {average} count {count} min {minimum} max {maximum} latest {latest}")
        }
        Kind::Count => format!("count {count}"),
        Kind::Sum => format!("sum {sum}"),
        Kind::Average => format!("avg {average} count {count}"),
        Kind::Minimum => format!("min {minimum}"),
        Kind::Maximum => format!("max {maximum}"),
        Kind::Deviation => format!("avg {average} stddev {} count {count}", cell.deviation()),
        Kind::Histogram | Kind::Linear(_) => {
            format!("avg {average} count {count} min {minimum} max {maximum}")
        }
    }
}

/// Writes integers, strings and the stack, separated by commas.
fn write_key(shape: &Shape, key: &[u8], line: &mut Vec<u8>) {
    let parts = Parts::of(shape, key);
    let mut first = true;
    let mut comma = |line: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            line.push(b',');
        }
    };
    for integer in parts.integers {
        comma(line);
        // Writing to memory can't fail.
        let _ = write!(line, "{integer:#x}");
    }
    for string in parts.strings {
        comma(line);
        line.push(b'"');
        for &byte in string {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
                b'\n' => line.extend_from_slice(b"\\n"),
                other => line.push(other),
            }
        }
        line.push(b'"');
    }
    if let Some(stack) = parts.stack {
        comma(line);
        line.extend_from_slice(b"GUEST");
        for frame in stack {
            let _ = write!(line, "_{frame:#x}");
        }
    }
}

fn bars(cell: &Cell, lines: &mut Vec<Vec<u8>>) {
    let buckets = cell.buckets();
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let width = buckets.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, count) in buckets {
        // A bucket that isn't empty shows at least one mark.
        let marks = if count == 0 {
            0
        } else {
            ((u128::from(count) * u128::from(BAR) / u128::from(most.max(1))) as usize).max(1)
        };
        let bar = "@".repeat(marks);
        lines.push(
            format!("    {name:<width$} {count:>10} |{bar:<room$}|", room = BAR as usize)
                .into_bytes(),
        );
    }
}
