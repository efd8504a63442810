//! Measures a port write at which a script's probe fires, in comparison with the same port write
//! without a script, and the cost of a probe at an instruction or at a store, which otherwise would
//! not exit at all.
//!
//! The measured value is the processor time of the whole process, whose vCPU never waits.

use std::time::Duration;

use criterion::Criterion;
use probes::{Options, Output, Script, Session, Source};
use vmm::End;
use vmm::boot::segments::Segments;
use vmm::hook::{Attach, watches};
use vmm::parallel;
use vmm::watchpoints::WatchPlan;
use vmm::{CpuCount, GuestImage, Host, Machine, MachineConfig};

use crate::Failure;
use crate::contest::{Busy, Contestant, Plan, Rounds, hold};
use crate::exits::{TIMES, slope};
use crate::image::{self, LANDMARK, SHARED};

const PLAN: Plan = Plan {
    name: "scripted exit",
    times: TIMES,
    samples: 20,
    warm_up: Duration::from_millis(500),
    measurement: Duration::from_secs(4),
    judged: 2,
    rate: None,
};

/// No script.
const NONE: &str = "";
const AGGREGATE: &str = "(defaggr ports 1 0) (vprobe Out (aggr ports (ARG0) () (count)))";
const ASSIGNMENT: &str = "(definteger n) (vprobe Out (setint n (+ n 1)))";
const PREDICATE: &str = "(vprobe Out / (== ARG0 0x3f8) / 0)";
const STACK: &str = "(defaggr hot 0 1) (vprobe Out (aggr hot () ((gueststack)) (count)))";

/// Makes code that makes a probe fire at least this number of times; returns the code and the exact
/// number.
type Make = fn(u64) -> (Vec<u8>, u64);

pub(crate) fn measure(criterion: &mut Criterion, host: &Host) -> Rounds {
    let contestant = |name, text: &str, make: Make, goal| {
        let text = text.to_owned();
        let turn = move || slope(|times| run(host, &text, make, times));
        Contestant { name, goal, turn: Box::new(turn) }
    };
    let scripted = |name, text: &str, make| contestant(name, text, make, None);
    let offset = format!("(definteger n) (vprobe GUEST:OFFSET:{LANDMARK:#x}:0 (setint n (+ n 1)))");
    let write = format!("(definteger n) (vprobe GUEST:WRITE:{SHARED:#x}:4 (setint n (+ n 1)))");
    let contestants = vec![
        scripted("an aggregate by port", AGGREGATE, image::port_writes),
        contestant("no script", NONE, image::port_writes, Some(1.05)),
        scripted("an assignment", ASSIGNMENT, image::port_writes),
        scripted("a predicate that says no", PREDICATE, image::port_writes),
        scripted("a stack as the key", STACK, image::port_writes),
        scripted("an instruction", &offset, image::nops),
        scripted("a store", &write, image::stores),
    ];
    hold(criterion, &PLAN, contestants)
}

fn run(host: &Host, text: &str, make: Make, times: u64) -> Result<Duration, Failure> {
    let (code, expected) = make(times);
    let guest = GuestImage { name: "scripted".into(), bytes: image::elf_with_shared(&code).into() };
    let config = MachineConfig::new(guest.clone(), CpuCount::new(1)?);
    let output = Output::to_streams(Box::new(std::io::sink()), Box::new(std::io::sink()), None)?;
    let session = if text == NONE {
        None
    } else {
        let options = Options { segments: Segments::of(&guest), ..Options::default() };
        let script = Script::load(&[Source::new("bench.vp", text)], &options)?;
        Some(Session::new(&script, output.sink()))
    };
    let hooks: Vec<&dyn Attach> = session.iter().map(|session| session as &dyn Attach).collect();
    let plan = WatchPlan::pages(watches(&hooks), "measured");
    let machine = Machine::watching(host, &config, plan, Box::new(std::io::sink()))?;
    let start = Busy::process()?;
    let outcome = parallel::run(machine, &hooks, parallel::Options::default())?;
    let time = start.elapsed()?;
    let counts = session.as_ref().map(Session::counts);
    drop(session);
    output.finish()?;
    let reached = counts
        .map_or(expected, |counts| counts.iter().map(|count| count.firings + count.filtered).sum());
    match outcome.end {
        End::Guest { code: 0 } if reached == expected => Ok(time),
        end => Err(format!("{text}: {reached} of {expected}: {end}").into()),
    }
}
