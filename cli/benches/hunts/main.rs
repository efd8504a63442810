//! Checks the numbers of runs and replays that jitterbug promises to get right, and measures how
//! long they take.
//!
//! ```text
//! cargo bench --bench hunts -- all
//! cargo bench --bench hunts -- twice=1000 replays
//! ```
//! Each measurement takes minutes, so nothing is measured unless a name is given. `=N` asks for
//! another count than the promised one. The exit status is 1 if something happened that must not
//! happen.

mod catalogue;
mod causes;
mod memory;
mod spawned;
mod twice;
mod versus;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use vmm::Host;
use vmm::kvm::host::DEFAULT_DEVICE;

/// Any error.
type Failure = Box<dyn Error>;

/// A measurement.
struct Measurement {
    name: &'static str,
    what: &'static str,
    /// The promised count.
    count: u64,
    measure: fn(&Host, u64) -> Result<Figures, Failure>,
}

const ALL: [Measurement; 8] = [
    Measurement {
        name: "first",
        what: "`hunt tsc-sync --cpus 6`: from the start of the process to the first proven hang",
        count: 50,
        measure: |_, count| spawned::first_hang(count),
    },
    Measurement {
        name: "catalogue",
        what: "plain `hunt NAME` for each bug of the catalogue, so many seeds each",
        count: 20,
        measure: |_, count| catalogue::measure(count),
    },
    Measurement {
        name: "causes",
        what: "`hunt NAME --explain` for each bug of the catalogue, so many seeds each: is it the right pair?",
        count: 10,
        measure: |_, count| causes::measure(count),
    },
    Measurement {
        name: "memory",
        what: "a search of so many runs: how much memory it takes",
        count: 100_000,
        measure: |_, count| memory::measure(count),
    },
    Measurement {
        name: "fixed",
        what: "`hunt tsc-sync-fixed --cpus 6`: runs without a failure",
        count: 10_000,
        measure: |_, count| spawned::fixed(count),
    },
    Measurement {
        name: "replays",
        what: "`replay` of one finding, each time a process",
        count: 1_000,
        measure: |_, count| spawned::replays(count),
    },
    Measurement {
        name: "versus",
        what: "searches of so many runs, in turns with another build of jitterbug: JITTERBUG_OTHER",
        count: 1_000,
        measure: |_, count| versus::measure(count),
    },
    Measurement {
        name: "twice",
        what: "random schedules of all guests, each run a second time from the first instruction",
        count: 100_000,
        measure: twice::measure,
    },
];

/// The results of a measurement.
#[derive(Debug, Default)]
struct Figures {
    lines: Vec<String>,
    /// What happened but must not happen.
    broken: Vec<String>,
}

impl Figures {
    /// Adds a count that must be 0.
    fn zero(&mut self, count: u64, what: &str) {
        self.lines.push(format!("{count} {what}"));
        if count != 0 {
            self.broken.push(format!("{count} {what}"));
        }
    }
}

fn main() -> ExitCode {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<_> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let chosen = match choose(&arguments) {
        Ok(chosen) if chosen.is_empty() => {
            eprintln!("hunts: SKIPPED, nothing is measured: give `all`, or some of");
            for Measurement { name, what, count, .. } in &ALL {
                eprintln!("  {name:<9} {count:>7} {what}");
            }
            return ExitCode::SUCCESS;
        }
        Ok(chosen) => chosen,
        Err(problem) => {
            eprintln!("hunts: {problem}");
            return ExitCode::from(2);
        }
    };
    let host = match Host::open(Path::new(DEFAULT_DEVICE)) {
        Ok(host) => host,
        Err(error) => {
            eprintln!("hunts: nothing can be measured: {error}");
            return ExitCode::from(3);
        }
    };
    let mut broken = false;
    for (measurement, count) in chosen {
        println!("\n{}", measurement.what);
        let start = Instant::now();
        let figures = (measurement.measure)(&host, count).unwrap_or_else(|error| Figures {
            broken: vec![error.to_string()],
            ..Default::default()
        });
        for line in &figures.lines {
            println!("  {line}");
        }
        for problem in &figures.broken {
            println!("  BROKEN: {problem}");
        }
        println!("  {:.1} s in all", start.elapsed().as_secs_f64());
        broken |= !figures.broken.is_empty();
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Reads `all`, or names with or without a count.
fn choose(arguments: &[String]) -> Result<Vec<(&'static Measurement, u64)>, String> {
    let mut chosen = Vec::new();
    for argument in arguments {
        if argument == "all" {
            chosen.extend(ALL.iter().map(|measurement| (measurement, measurement.count)));
            continue;
        }
        let (name, count) = argument.split_once('=').unwrap_or((argument, ""));
        let found = ALL.iter().find(|measurement| measurement.name == name);
        let measurement = found.ok_or(format!("there is no measurement `{name}`"))?;
        let count = match count {
            "" => measurement.count,
            count => count
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .ok_or(format!("{argument}: give a count, at least 1"))?,
        };
        chosen.push((measurement, count));
    }
    Ok(chosen)
}
