//! `jitterbug guests`: lists the guests of the catalogue.

use std::fmt::Write;

use anyhow::Result;
use guests::Oracle;
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::ListArgs;
use crate::document::{FORMAT, print_json};
use crate::status::Status;
use crate::tell;

/// The document of `guests --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Guests")]
pub(crate) struct Document {
    /// The version of the documents' format.
    format: u32,
    /// The catalogue.
    guests: Vec<Entry>,
}

/// A guest.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Guest")]
struct Entry {
    /// Its name.
    name: &'static str,
    /// What it does.
    summary: &'static str,
    /// The default number of vCPUs.
    default_cpus: u32,
    /// Whether the guest never ends by itself.
    runs_for_ever: bool,
    /// The guest's known bug, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bug: Option<Bug>,
}

/// A known bug.
#[derive(JsonSchema, Serialize)]
struct Bug {
    /// What is wrong.
    what: &'static str,
    /// The depth: the number of decisive orders that the failure needs.
    depth: u32,
    /// The number of preemptions that the failure needs.
    preemptions: u32,
    /// How the failure shows.
    shows_as: &'static str,
    /// The name of the guest without the bug.
    fixed_twin: &'static str,
}

fn entries() -> impl Iterator<Item = Entry> {
    guests::catalogue().iter().map(|guest| Entry {
        name: guest.name,
        summary: guest.summary,
        default_cpus: guest.default_cpus,
        runs_for_ever: guest.endless,
        bug: guest.bug.as_ref().map(|bug| Bug {
            what: bug.what,
            depth: bug.depth,
            preemptions: bug.preemptions,
            shows_as: match bug.oracle {
                Oracle::Hang => "hang",
                Oracle::Report => "failure code",
                Oracle::TripleFault => "triple fault",
            },
            fixed_twin: bug.fixed_twin,
        }),
    })
}

/// Prints the catalogue.
pub(crate) fn run(args: &ListArgs) -> Result<Status> {
    if args.json {
        print_json(&Document { format: FORMAT, guests: entries().collect() })?;
        return Ok(Status::Clean);
    }
    let mut text = String::new();
    for entry in entries() {
        // Writing to a String can't fail.
        let _ =
            writeln!(text, "{:<16} {:>2} vCPUs  {}", entry.name, entry.default_cpus, entry.summary);
        if let Some(bug) = entry.bug {
            let _ = writeln!(text, "{:27}bug: {}", "", bug.what);
            let _ = writeln!(
                text,
                "{:27}depth {}, {} preemptions, shows as {}; fixed: {}",
                "", bug.depth, bug.preemptions, bug.shows_as, bug.fixed_twin
            );
        }
    }
    tell::output(&text)?;
    Ok(Status::Clean)
}
