//! Measures a guest that is run from a snapshot again and again, in comparison with the minimal
//! loop that does so.
//!
//! From its snapshot the guest stores to a few pages and ends the run. Before that it reads one of
//! these pages, and reports the value: a page that was not restored ends the benchmark.

use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use iced_x86::IcedError;
use iced_x86::code_asm::registers::gpr32::{eax, edx};
use iced_x86::code_asm::{CodeAssembler, dword_ptr};
use vmm::controlled::{ControlledMachine, Point, Snapshot};
use vmm::end::End;
use vmm::{CpuCount, GuestImage, Host, MachineConfig};

use crate::Failure;
use crate::contest::{Busy, Contestant, Plan, Rounds, hold};
use crate::image::{self, BASE, END_PORT, MARK_PORT, PAGE, PRIVATE, Program, SHARED};
use crate::raw::reset::{Registers, Resetter};

/// Resets in a turn.
const TIMES: u64 = 200;

const PLAN: Plan = Plan {
    name: "",
    times: TIMES,
    samples: 20,
    warm_up: Duration::from_millis(300),
    measurement: Duration::from_secs(2),
    judged: 2,
    rate: None,
};

/// The goals for a run that writes to at most four pages.
const GOAL: f64 = 1.25;
const RATE: f64 = 10_000.0;

pub(crate) fn measure(
    criterion: &mut Criterion,
    host: &Host,
    device: &Path,
) -> Result<Vec<Rounds>, Failure> {
    let few = (Some(GOAL), Some(RATE));
    let contests = [
        ("reset: 4 dirty pages", 4, few),
        ("reset: 53 dirty pages", 53, (None, None)),
        ("reset: 203 dirty pages", 203, (None, None)),
    ];
    contests
        .into_iter()
        .map(|(name, pages, (goal, rate))| {
            let mut jitterbug = Controlled::new(host, pages)?;
            let floor = |name, goal, registers| -> Result<Contestant, Failure> {
                let mut raw = Resetter::new(device, &Program::flat(code(pages)?), registers)?;
                let turn = Box::new(move || by_ioctl(&mut raw, pages));
                Ok(Contestant { name, goal, turn })
            };
            let contestants = vec![
                Contestant {
                    name: "jitterbug",
                    goal: None,
                    turn: Box::new(move || jitterbug.turn()),
                },
                floor("ioctl", goal, Registers::All)?,
                floor("ioctl, general registers only", None, Registers::General)?,
                floor("ioctl, with FPU and MSRs", None, Registers::AllAndHidden)?,
            ];
            Ok(hold(criterion, &Plan { name, rate, ..PLAN }, contestants))
        })
        .collect()
}

/// A controlled machine, and the snapshot from which it is run.
struct Controlled {
    machine: ControlledMachine,
    snapshot: Snapshot,
    /// The hash of the first run, which all runs must have.
    hash: Option<u64>,
}

/// The only choice, with one vCPU and no interrupt.
fn only(point: &Point) -> vmm::controlled::Choice {
    point.enabled[0]
}

impl Controlled {
    fn new(host: &Host, pages: u64) -> Result<Self, Failure> {
        let image = image::elf_with_shared(&code(pages)?);
        let guest = GuestImage { name: "stores".into(), bytes: image.into() };
        let config = MachineConfig::new(guest, CpuCount::new(1)?);
        let mut machine = ControlledMachine::new(host, &config, Box::new(std::io::sink()))?;
        if let Some(ending) = machine.run_to_mark(&mut only, u64::MAX)? {
            return Err(format!("before its mark: {ending}").into());
        }
        let snapshot = machine.save()?;
        Ok(Self { machine, snapshot, hash: None })
    }

    fn turn(&mut self) -> Result<Duration, Failure> {
        let start = Busy::start()?;
        for _ in 0..TIMES {
            self.machine.restore(&self.snapshot)?;
            let ending = self.machine.run(&mut only, u64::MAX)?;
            let hash = *self.hash.get_or_insert(self.machine.hash());
            if ending != (End::Guest { code: 0 }) || hash != self.machine.hash() {
                return Err(format!("a run that was not the same: {ending}").into());
            }
        }
        Ok(start.elapsed()?)
    }
}

fn by_ioctl(raw: &mut Resetter, pages: u64) -> Result<Duration, Failure> {
    let (time, restored) = raw.repeat(TIMES)?;
    if restored == pages * TIMES {
        Ok(time)
    } else {
        Err(format!("{restored} pages were put back, not {pages} in each of {TIMES} runs").into())
    }
}

/// A guest that, after its mark, stores to this number of pages; the first of them is the trapped
/// page, where the snapshot is taken. It ends the run with the previous value of the last page.
fn code(pages: u64) -> Result<Vec<u8>, IcedError> {
    let private = |number: u64| dword_ptr(PRIVATE + number * PAGE);
    let mut a = CodeAssembler::new(32)?;
    a.mov(edx, 1)?;
    a.out(u32::from(MARK_PORT), eax)?;
    a.mov(dword_ptr(SHARED), edx)?;
    a.mov(eax, private(pages - 2))?;
    for page in 0..pages - 1 {
        a.mov(private(page), edx)?;
    }
    a.out(u32::from(END_PORT), eax)?;
    a.hlt()?;
    a.assemble(BASE)
}
