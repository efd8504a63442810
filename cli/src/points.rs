//! `jitterbug probes`: lists the probe points, what each costs on this host, and why some are not
//! available.

use std::fmt::Write;

use anyhow::Result;
use probes::point::{Class, Mechanisms, Price, Row, matching};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::Host;
use vmm::doctor::{self, Cost, DebugCapabilities, Finding, Verdict};

use crate::args::{Cli, PointArgs};
use crate::document::{FORMAT, print_json};
use crate::status::Status;
use crate::{engine, tell};

/// The document of `probes --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Probes")]
pub(crate) struct Document<'a> {
    /// The version of the documents' format.
    format: u32,
    /// The points that match the pattern.
    points: &'a [Entry],
}

/// A probe point.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Point")]
struct Entry {
    /// Its name in scripts.
    name: String,
    /// The kind of event.
    class: &'static str,
    /// The meaning of its arguments.
    arguments: &'static [&'static str],
    /// When it fires.
    when: &'static str,
    /// The mechanism by which it fires.
    means: &'static str,
    /// Why `run` doesn't have it, if so.
    run: Option<&'static str>,
    /// Why `replay` doesn't have it, if so.
    replay: Option<&'static str>,
    /// What it costs on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<String>,
    /// An example of a script.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<String>,
}

/// Lists points, or measures the engine.
pub(crate) fn run(cli: &Cli, args: &PointArgs) -> Result<Status> {
    if args.bench {
        return engine::bench(args.json);
    }
    let rows = matching(args.pattern.as_deref().unwrap_or("*"))?;
    let here = Here::look(cli, &rows);
    let entries: Vec<Entry> = rows.iter().map(|row| here.entry(row)).collect();
    if args.json {
        print_json(&Document { format: FORMAT, points: &entries })?;
    } else {
        tell::output(&table(&entries, cli.verbose > 0))?;
    }
    Ok(Status::Clean)
}

/// What this host offers for probe points.
struct Here {
    run: Mechanisms,
    replay: Mechanisms,
    measured: Vec<Finding>,
}

impl Here {
    /// Tests on the host what these points need. Without KVM the list is still useful.
    fn look(cli: &Cli, rows: &[Row]) -> Self {
        let (run, replay) = (Mechanisms::PARALLEL, Mechanisms::CONTROLLED);
        let host = match Host::open(&cli.kvm) {
            Ok(host) => host,
            Err(error) => {
                let error = anyhow::Error::new(error);
                tell::user(&format!(
                    "jitterbug: warning: {error:#}: what points cost here is not known, nor whether \
                     this host stops vCPUs at instructions"
                ));
                return Self { run, replay, measured: Vec::new() };
            }
        };
        let needed = rows.iter().fold(Mechanisms::empty(), |all, row| all | row.mechanism);
        let mut ids: Vec<&str> =
            rows.iter().filter_map(Row::price).flat_map(Price::self_tests).copied().collect();
        if ids.contains(&"breakpoint") {
            ids.extend(DebugCapabilities::INT3);
        }
        ids.sort_unstable();
        ids.dedup();
        let measured = doctor::try_out(&host, &ids);
        // Only mechanisms that these points need are tested.
        let there = |scheduler: Mechanisms| (scheduler - needed) | (scheduler & needed).on(&host);
        Self { run: there(run), replay: there(replay), measured }
    }

    fn entry(&self, row: &Row) -> Entry {
        let (run, replay) = (row.refusal(self.run), row.refusal(self.replay));
        let price = row.price().filter(|_| run.is_none() || replay.is_none());
        Entry {
            name: row.name.clone(),
            class: class(row.class),
            arguments: row.arguments,
            when: row.text(),
            means: row.means(),
            run,
            replay,
            cost: price.map(|price| self.cost(price)),
            example: row.example(),
        }
    }

    /// The cost of a self-test that works, as the doctor has just measured it.
    fn measured(&self, id: &str) -> Option<Cost> {
        let row = self.measured.iter().find(|row| row.id == id)?;
        row.cost.filter(|_| matches!(row.verdict, Verdict::Works | Verdict::Partly))
    }

    /// Whether all self-tests of data watchpoints work.
    fn has_watchpoints(&self) -> bool {
        let mut tests = self.measured.iter().filter(|row| row.id.starts_with("watch-"));
        tests.all(|row| row.verdict == Verdict::Works)
    }

    /// Whether int3 is used for more addresses than the hardware has breakpoints for.
    fn int3(&self) -> bool {
        let works = |id: &str| {
            self.measured.iter().any(|row| row.id == id && row.verdict == Verdict::Works)
        };
        DebugCapabilities::INT3.into_iter().all(works)
    }

    fn cost(&self, price: Price) -> String {
        let about = |id: &str| self.measured(id).map(|cost| format!(", about {cost}"));
        let about = |id: &str| about(id).unwrap_or_default();
        match price {
            Price::Nothing => "free until it fires".into(),
            Price::Tick => format!("a kick a tick{}", about("kick")),
            Price::Exit { id: None } => "free: the guest exits anyway".into(),
            Price::Exit { id: Some(id) } => {
                format!("free: the guest exits anyway{}", about(id))
            }
            Price::Stop => match self.measured("breakpoint") {
                Some(hit) => format!(
                    "free until it is hit, then about {hit}; more than 4 addresses: {}",
                    if self.int3() {
                        format!("int3, free until it is hit{}", about("int3-step"))
                    } else {
                        format!("single steps, an exit an instruction{}", about("single-step"))
                    }
                ),
                None => format!("single steps: an exit an instruction{}", about("single-step")),
            },
            Price::Step => format!(
                "single steps in the function: an exit an instruction{}",
                about("single-step")
            ),
            Price::Watch => {
                let pages = format!("an exit for each access to its pages{}", about("mmio-exit"));
                match self.measured("watch-write").filter(|_| self.has_watchpoints()) {
                    Some(hit) => format!(
                        "data watchpoints: free until it is hit, then about {hit}; where they can't \
                         tell what is used, and in replay: {pages}"
                    ),
                    None => pages,
                }
            }
            Price::Register => "an exit for each access".into(),
        }
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Lifecycle => "lifecycle",
        Class::Timer => "timer",
        Class::Exit => "exit",
        Class::Address => "address",
        Class::Access => "access",
        Class::Interrupt => "interrupt",
        Class::Device => "device",
        Class::Scheduling => "scheduling",
    }
}

/// The table for people: where each point is available and what it costs, or why it isn't
/// available.
fn table(entries: &[Entry], in_full: bool) -> String {
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for entry in entries {
        let name = &entry.name;
        let what = match (entry.run, entry.replay) {
            (None, None) => "run, replay".into(),
            (None, Some(_)) => "run".into(),
            (Some(_), None) => "replay".into(),
            (Some(run), Some(replay)) if run == replay => format!("not here: {run}"),
            (Some(run), Some(replay)) => format!("not in run: {run}; not in replay: {replay}"),
        };
        let line = match &entry.cost {
            Some(cost) => format!("{name:width$}  {what:11}  {cost}"),
            None => format!("{name:width$}  {what}"),
        };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{line}");
        let arguments = (0..).zip(entry.arguments).map(|(n, what)| format!("ARG{n} {what}"));
        let arguments: Vec<_> = arguments.collect();
        if !arguments.is_empty() {
            let _ = writeln!(text, "{:width$}  {}", "", arguments.join(", "));
        }
        if in_full {
            detail(&mut text, entry, width);
        }
    }
    text
}

fn detail(text: &mut String, entry: &Entry, width: usize) {
    let mut put = |what: &str, value: &str| {
        let _ = writeln!(text, "{:width$}    {what} {value}", "");
    };
    if entry.cost.is_some() {
        put("when:", entry.when);
        put("by:", entry.means);
    }
    for (scheduler, reason) in [("run", entry.run), ("replay", entry.replay)] {
        if let Some(reason) = reason.filter(|_| entry.cost.is_some()) {
            put(&format!("not in {scheduler}:"), reason);
        }
    }
    if let Some(example) = entry.example.as_ref().filter(|_| entry.cost.is_some()) {
        put("-e", &format!("'{example}'"));
    }
}
