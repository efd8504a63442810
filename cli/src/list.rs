//! `jitterbug guests`: the catalogue.

use std::fmt::Write;

use anyhow::Result;
use guests::Oracle;
use serde::Serialize;

use crate::args::ListArgs;
use crate::report::print_json;
use crate::status::Status;
use crate::tell;

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    summary: &'static str,
    default_cpus: u32,
    runs_for_ever: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bug: Option<Bug>,
}

#[derive(Serialize)]
struct Bug {
    what: &'static str,
    depth: u32,
    preemptions: u32,
    shows_as: &'static str,
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
        print_json(&entries().collect::<Vec<_>>())?;
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
