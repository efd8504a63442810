//! End-to-end tests: the `jitterbug` program against the host's own KVM, with nothing in between.
//!
//! Tests that this host can't do are ignored, and `what_is_ignored_here` gives each of them with
//! the reason. The tests in `race` measure rates, so each of them runs alone: under `cargo test`
//! because of a lock in this file, under `cargo nextest` because of the group in
//! `.config/nextest.toml`.

#[macro_use]
mod harness;

mod another_build;
mod bad_scripts;
mod bed;
mod cases;
mod child;
mod compile;
mod confined;
mod console;
mod criteria;
mod ctl;
mod delivery;
mod destructive;
mod disk_faults;
mod disks;
mod documented;
mod ends;
mod experiment;
mod explain;
mod explain_page;
mod faults;
mod folded;
mod gdb;
mod gdb_client;
mod granularity;
mod hang_budget;
mod hello;
mod host_errors;
mod hunt;
mod image;
mod image_errors;
mod jitter;
mod json;
mod linux;
mod linux_console;
mod linux_ctl;
mod linux_disk;
mod linux_ends;
mod linux_gdb;
mod linux_hung;
mod linux_races;
mod linux_stacks;
mod linux_variables;
mod lists;
mod lost_findings;
mod manual;
mod many_points;
mod needs;
mod on_hang;
mod paths;
mod point_list;
mod points;
mod probes;
mod race;
mod races;
mod readers;
mod repeat;
mod replay_json;
mod replay_scripts;
mod run_faults;
mod run_gdb;
mod schema;
mod scratch;
mod screen;
mod script_2012;
mod script_cases;
mod script_options;
mod scripts;
mod sessions;
mod shipped;
mod signals;
mod special_files;
mod symbols;
mod terminal;
mod trace;
mod usage;
mod watchdog;
mod watchpoints;

use std::collections::HashSet;
use std::env;
use std::iter;
use std::process::ExitCode;
use std::sync::{PoisonError, RwLock};

use harness::Test;
use libtest_mimic::{Arguments, Trial};

const TESTS: &[&[Test]] = &[
    another_build::TESTS,
    bad_scripts::TESTS,
    bed::TESTS,
    cases::TESTS,
    confined::TESTS,
    console::TESTS,
    criteria::TESTS,
    ctl::TESTS,
    delivery::TESTS,
    destructive::TESTS,
    disk_faults::TESTS,
    disks::TESTS,
    documented::TESTS,
    ends::TESTS,
    experiment::TESTS,
    explain::TESTS,
    explain_page::TESTS,
    faults::TESTS,
    folded::TESTS,
    gdb::TESTS,
    gdb_client::TESTS,
    granularity::TESTS,
    hang_budget::TESTS,
    hello::TESTS,
    host_errors::TESTS,
    hunt::TESTS,
    image_errors::TESTS,
    jitter::TESTS,
    json::TESTS,
    linux::TESTS,
    linux_ctl::TESTS,
    linux_console::TESTS,
    linux_disk::TESTS,
    linux_ends::TESTS,
    linux_hung::TESTS,
    linux_races::TESTS,
    linux_gdb::TESTS,
    linux_stacks::TESTS,
    linux_variables::TESTS,
    lists::TESTS,
    lost_findings::TESTS,
    manual::TESTS,
    many_points::TESTS,
    on_hang::TESTS,
    paths::TESTS,
    point_list::TESTS,
    points::TESTS,
    probes::TESTS,
    race::TESTS,
    races::TESTS,
    readers::TESTS,
    repeat::TESTS,
    replay_json::TESTS,
    replay_scripts::TESTS,
    run_faults::TESTS,
    run_gdb::TESTS,
    script_2012::TESTS,
    script_cases::TESTS,
    script_options::TESTS,
    scripts::TESTS,
    sessions::TESTS,
    shipped::TESTS,
    signals::TESTS,
    special_files::TESTS,
    symbols::TESTS,
    terminal::TESTS,
    trace::TESTS,
    usage::TESTS,
    watchdog::TESTS,
    watchpoints::TESTS,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // libtest-mimic prints the message of a panic, but not its place.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            eprintln!("test failed at {place}");
        }
    }));
    let report = Trial::test("what_is_ignored_here", || {
        what_is_ignored_here();
        Ok(())
    });
    let (part, modules) = (Part::of_the_environment(), modules_of_the_environment());
    let tests = TESTS.iter().copied().flatten();
    let tests = tests.filter(|test| modules.as_ref().is_none_or(|it| it.contains(module(test))));
    let tests = tests.enumerate().filter(|(number, _)| part.has(*number));
    let tests = tests.map(|(_, test)| trial(test, &arguments));
    let trials = iter::once(report).chain(tests).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The module that a test is in.
fn module(test: &Test) -> &'static str {
    test.name().split_once("::").map_or("", |(module, _)| module)
}

/// Reads `JITTERBUG_E2E_MODULES`, such as `points probes`: only the tests in these modules are run.
fn modules_of_the_environment() -> Option<HashSet<String>> {
    const NAME: &str = "JITTERBUG_E2E_MODULES";
    let chosen: HashSet<String> =
        env::var(NAME).ok()?.split_whitespace().map(str::to_owned).collect();
    let all: HashSet<&str> = TESTS.iter().copied().flatten().map(module).collect();
    let unknown: Vec<_> = chosen.iter().filter(|name| !all.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{NAME}: no tests in {unknown:?}");
    Some(chosen)
}

/// One part of all tests: every `of`-th test, from number `number` on. The test bed has one
/// processor, so two of them run, a part each.
struct Part {
    number: usize,
    of: usize,
}

impl Part {
    /// Reads `JITTERBUG_E2E_PART`, such as `1/2`. Without it the part is all tests.
    fn of_the_environment() -> Self {
        const NAME: &str = "JITTERBUG_E2E_PART";
        let Ok(text) = env::var(NAME) else { return Self { number: 1, of: 1 } };
        let read = |(number, of): (&str, &str)| {
            let part = Self { number: number.parse().ok()?, of: of.parse().ok()? };
            (1..=part.of).contains(&part.number).then_some(part)
        };
        text.split_once('/').and_then(read).unwrap_or_else(|| panic!("{NAME}={text}: not like 1/2"))
    }

    fn has(&self, test: usize) -> bool {
        test % self.of == self.number - 1
    }
}

fn trial(test: &'static Test, arguments: &Arguments) -> Trial {
    let name = test.name();
    let trial = Trial::test(name, move || {
        run(name.starts_with("race::"), test.run);
        Ok(())
    });
    // `cargo nextest` starts this program for each test. What other tests need is then not checked.
    let other = arguments.exact && arguments.filter.as_deref() != Some(name);
    trial.with_ignored_flag(!other && test.needs.unmet().is_some())
}

/// Prints which tests this host can't do, and why.
fn what_is_ignored_here() {
    for test in TESTS.iter().copied().flatten() {
        if let Some(reason) = test.needs.unmet() {
            eprintln!("IGNORED {}: {reason}", test.name());
        }
    }
}

/// Runs a test: alone, or beside others that needn't run alone either.
fn run(alone: bool, test: fn()) {
    static PLACE: RwLock<()> = RwLock::new(());
    if alone {
        let _all = PLACE.write().unwrap_or_else(PoisonError::into_inner);
        test();
    } else {
        let _one = PLACE.read().unwrap_or_else(PoisonError::into_inner);
        test();
    }
}
