//! `jitterbug probes --bench`: measures how long the engine takes for each operation on this
//! machine.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use probes::bench::{Measured, OPERATIONS, measure};
use schemars::JsonSchema;
use serde::Serialize;

use crate::document::{FORMAT, print_json};
use crate::status::Status;
use crate::tell;

/// The time for each operation; all of them together take a few seconds.
const TIME: Duration = Duration::from_millis(200);

/// The document of `probes --bench --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Bench")]
pub(crate) struct Document<'a> {
    /// The version of the documents' format.
    format: u32,
    /// The measurements.
    operations: &'a [Measured],
}

/// Measures all operations and prints the results.
pub(crate) fn bench(json: bool) -> Result<Status> {
    if cfg!(debug_assertions) {
        tell::user(
            "jitterbug: warning: this program was built without optimisation: build it with --release",
        );
    }
    let measured: Result<Vec<Measured>, _> =
        OPERATIONS.iter().map(|operation| measure(*operation, TIME)).collect();
    let measured = measured?;
    if json {
        print_json(&Document { format: FORMAT, operations: &measured })?;
    } else {
        tell::output(&table(&measured))?;
    }
    Ok(Status::Clean)
}

fn table(measured: &[Measured]) -> String {
    let width = measured.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut text = format!("{:width$}  {:>9}\n", "a firing that does this", "takes, ns");
    for row in measured {
        let goal = row.goal.map_or(String::new(), |goal| {
            let met = if row.nanoseconds <= goal { "kept" } else { "MISSED" };
            format!("  goal {goal:.0}: {met}")
        });
        // Writing to a String can't fail.
        let _ = writeln!(text, "{:width$}  {:>9.0}{goal}", row.name, row.nanoseconds);
    }
    text
}
