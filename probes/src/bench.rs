//! Measures the cost of a firing for a number of operations: for `jitterbug probes --bench` on a
//! user's machine, and for `cargo bench`. The idea is that of the toolkit's vprobe-bench.
//!
//! Each operation is the body of a probe. It is fired on a vCPU without KVM in the same way as by a
//! scheduler, and measured from the probe point to the end of the firing. The time that KVM takes
//! to leave the guest and to read registers is not included.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::hook::Context;
use vmm::memory::{Memory, MemorySize};
use vmm::registers::Registers;
use vmm::scripted::ScriptedCpu;

use crate::engine::Event;
use crate::point::{Fixed, Point};
use crate::session::VcpuProbes;
use crate::{Diagnostics, Options, Output, Script, Session, Source};

/// An operation of a probe.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The operation's name in machine-readable output.
    pub id: &'static str,
    /// The operation's name for people.
    pub name: &'static str,
    definitions: &'static str,
    body: &'static str,
    /// The longest time that it should take, in nanoseconds.
    pub goal: Option<f64>,
}

const fn operation(
    id: &'static str,
    name: &'static str,
    definitions: &'static str,
    body: &'static str,
) -> Operation {
    Operation { id, name, definitions, body, goal: None }
}

impl Operation {
    const fn within(self, nanoseconds: f64) -> Self {
        Self { goal: Some(nanoseconds), ..self }
    }
}

/// The operations that are measured. The first does nothing, and its cost is included in all
/// others.
pub const OPERATIONS: &[Operation] = &[
    operation("empty", "empty", "", "0").within(50.0),
    operation("false_predicate", "a predicate that doesn't hold", "", "/ (== ARG0 1) / 0"),
    operation(
        "arithmetic",
        "an assignment with arithmetic",
        "(definteger n)",
        "(setint n (+ (* n 3) (>> ARG0 1) 7))",
    ),
    operation(
        "cond",
        "the third of three conditions",
        "(definteger n)",
        "(cond ((== ARG0 1) (setint n 1)) ((== ARG0 2) (setint n 2)) (1 (setint n 3)))",
    ),
    operation("call", "a call", "(definteger n) (defun f (x) (+ x 1))", "(setint n (f n))"),
    operation(
        "aggregate_integer_key",
        "an aggregate, integer key",
        "(defaggr a 1 0)",
        "(aggr a (ARG0) () 1)",
    )
    .within(150.0),
    operation(
        "aggregate_string_key",
        "an aggregate, string key",
        "(defaggr a 0 1)",
        "(aggr a () (PROBENAME) 1)",
    )
    .within(150.0),
    operation(
        "aggregate_stack_key",
        "an aggregate, a stack of 8 frames",
        "(defaggr a 0 1)",
        "(aggr a () ((gueststack)) (count))",
    ),
    operation("histogram", "a histogram", "(defaggr a 0 0)", "(aggr a () () (hist ARG0))"),
    operation(
        "bag_insert_and_remove",
        "a bag, in and out",
        "(defbag b 8)",
        "(baginsert b ARG0 1) (bagremove b ARG0)",
    ),
    operation("register", "a register", "(definteger n)", "(setint n RIP)"),
    operation(
        "guest_read",
        "a guest read of 8 bytes",
        "(definteger n)",
        "(setint n (getguest 0x1000))",
    ),
    operation("guest_string", "a guest string", "(defstring s)", "(getgueststr s 32 0x1000)"),
    operation("stack_of_8_frames", "a stack of 8 frames", "(defstring s)", "(gueststack s)"),
    operation("sprintf", "sprintf", "(defstring s)", "(sprintf s \"port %#x of %d\" ARG0 VCPUID)"),
    operation(
        "printf",
        "printf, up to the writer's channel",
        "",
        "(printf \"port %#x of %d\\n\" ARG0 VCPUID)",
    ),
];

/// The guest's page tables. One large page maps the first 2 MiB of linear addresses to the same
/// guest-physical addresses.
const TABLES: u64 = 0x10_0000;
/// The guest's stack, with 8 frames.
const STACK: u64 = 0x18_0000;
/// Where the functions in that stack are.
const CODE: u64 = 0x8_0000;

fn guest() -> vmm::Result<(Memory, ScriptedCpu)> {
    let memory = Memory::new(MemorySize::new(4 << 20)?)?;
    let put = |address: u64, value: u64| memory.write(address, &value.to_le_bytes());
    // RIP and seven callers. Each frame has the saved RBP, and the return address above it.
    for frame in 0..7 {
        let at = STACK + frame * 0x20;
        put(at, if frame == 6 { 0 } else { at + 0x20 })?;
        put(at + 8, CODE + 0x100 + frame * 0x40)?;
    }
    let mut cpu = ScriptedCpu::with_paging(&memory, TABLES)?;
    cpu.registers = Registers { rip: CODE, rsp: STACK - 0x20, rbp: STACK, ..Registers::default() };
    Ok((memory, cpu))
}

/// Why an operation could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operation's script has errors.
    #[error("{0}")]
    Script(Diagnostics),
    /// There is no memory for the guest.
    #[error(transparent)]
    Guest(#[from] vmm::Error),
    /// The thread's clock can't be read.
    #[error("the thread's processor time can't be read")]
    Clock(#[from] nix::errno::Errno),
    /// The thread that receives the output can't be started.
    #[error("the output's thread can't be started")]
    Output(#[from] std::io::Error),
    /// No probe fired, or firings were cancelled.
    #[error("{operation}: of {firings} firings, {cancelled} were cancelled")]
    NoFiring {
        /// The operation.
        operation: &'static str,
        /// How many firings there were.
        firings: u64,
        /// How many of these were cancelled.
        cancelled: u64,
    },
}

/// The probe of one operation, with the vCPU and the memory that it reads.
pub struct Bench {
    operation: Operation,
    session: Session,
    probes: VcpuProbes,
    memory: Memory,
    cpu: ScriptedCpu,
}

impl Bench {
    /// Loads an operation. What it prints goes to `output`.
    pub fn new(operation: Operation, output: &Output) -> Result<Self, Error> {
        let text = format!("{} (vprobe In {})", operation.definitions, operation.body);
        let source = Source::new("bench.vp", text);
        let script = Script::load(&[source], &Options::default()).map_err(Error::Script)?;
        let session = Session::new(&script, output.sink());
        let probes = session.vcpu(0);
        let (memory, cpu) = guest()?;
        Ok(Self { operation, session, probes, memory, cpu })
    }

    /// Fires the probe once.
    pub fn fire(&mut self) {
        let mut context = Context {
            vcpu: 0,
            vcpus: 1,
            cpu: &mut self.cpu,
            memory: &self.memory,
            now: Duration::ZERO,
            point: None,
            started: true,
            held: false,
            actions: None,
        };
        let event = Event::new(&[0x3f8, 1, 1]);
        black_box(self.probes.fire(Point::fixed(Fixed::In), &event, &mut context));
    }

    /// Fails if the probe has not fired, or if any firing was cancelled.
    pub fn check(&self) -> Result<(), Error> {
        let counts = self.session.counts();
        let firings = counts.iter().map(|count| count.firings + count.filtered).sum();
        let cancelled = counts.iter().map(|count| count.cancelled).sum();
        if firings > 0 && cancelled == 0 {
            return Ok(());
        }
        Err(Error::NoFiring { operation: self.operation.id, firings, cancelled })
    }
}

/// The result of a measurement.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Measured {
    /// The operation's name in machine-readable output.
    pub id: &'static str,
    /// The operation's name for people.
    pub name: &'static str,
    /// The processor time of one firing: the median of many batches.
    pub nanoseconds: f64,
    /// The longest time that it should take, in nanoseconds.
    pub goal: Option<f64>,
}

/// The processor time that the thread has used, on which other programs on the host have the least
/// influence.
pub fn thread_time() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from)
}

/// Measures one operation for about this time.
pub fn measure(operation: Operation, time: Duration) -> Result<Measured, Error> {
    /// The number of firings between two readings of the clock. A reading takes as long as several
    /// firings.
    const BATCH: u32 = 500;
    let output = Output::to_callback(|_| {}, None)?;
    let mut bench = Bench::new(operation, &output)?;
    let end = Instant::now() + time;
    let mut batches = Vec::new();
    while batches.len() < 5 || Instant::now() < end {
        let start = thread_time()?;
        for _ in 0..BATCH {
            bench.fire();
        }
        let took = thread_time()?.saturating_sub(start);
        batches.push(took.as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    bench.check()?;
    batches.sort_unstable_by(f64::total_cmp);
    let nanoseconds = batches.get(batches.len() / 2).copied().unwrap_or_default();
    let Operation { id, name, goal, .. } = operation;
    Ok(Measured { id, name, nanoseconds, goal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_measured() {
        for operation in OPERATIONS {
            let measured = measure(*operation, Duration::from_millis(1)).expect("a figure");
            assert!(measured.nanoseconds > 0.0, "{}", operation.id);
        }
    }
}
