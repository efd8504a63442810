//! Measures one scheduling point of the controlled scheduler, in comparison with the exit that it
//! can't do without.
//!
//! The guest only accesses its trapped page. The floor runs the same instructions without an
//! irqchip, with a hole in memory where that page is, and looks at the exit's reason only.

use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use iced_x86::code_asm::registers::gpr32::{eax, ecx, edx};
use iced_x86::code_asm::registers::{cr0, ds};
use iced_x86::code_asm::{CodeAssembler, byte_ptr, dword_ptr, fword_ptr};
use iced_x86::{Code, IcedError, Instruction};
use vmm::controlled::{ControlledMachine, Point};
use vmm::end::End;
use vmm::registers::SystemRegisters;
use vmm::{CpuCount, GuestImage, Host, MachineConfig};

use crate::Failure;
use crate::contest::{Busy, Contestant, Plan, Rounds, hold};
use crate::image::{self, BASE, END_PORT, PAGE, Program, SHARED};
use crate::raw::bare::{Bare, Stores};

/// Scheduling points in a turn.
const TIMES: u64 = 1_024;
const BASELINE_POINTS: u64 = 32;
/// How many accesses follow each other in the loop, so that the points are measured and not the
/// loop.
const UNROLLED: u64 = 16;

const PLAN: Plan = Plan {
    name: "",
    times: TIMES,
    samples: 20,
    warm_up: Duration::from_millis(300),
    measurement: Duration::from_secs(2),
    judged: 2,
    rate: None,
};

/// The access that the guest makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Load,
    Store,
    /// A locked read-modify-write: two exits, one scheduling point.
    Locked,
    /// Loads and stores, by two vCPUs in turn.
    Alternating,
}

impl Access {
    fn vcpus(self) -> u64 {
        if self == Self::Alternating { 2 } else { 1 }
    }

    fn exits(self) -> u64 {
        if self == Self::Locked { 2 } else { 1 }
    }
}

pub(crate) fn measure(criterion: &mut Criterion, host: &Host, device: &Path) -> Vec<Rounds> {
    let contests = [
        ("point: a load", Access::Load),
        ("point: a store", Access::Store),
        ("point: a locked add", Access::Locked),
        ("point: two vCPUs in turn", Access::Alternating),
    ];
    let contest = |(name, access)| {
        let contestants = vec![
            Contestant {
                name: "jitterbug",
                goal: None,
                turn: Box::new(move || slope(|times| by_jitterbug(host, access, times))),
            },
            Contestant {
                name: if access == Access::Locked { "ioctl: both exits" } else { "ioctl" },
                goal: Some(1.25),
                turn: Box::new(move || slope(|times| by_ioctl(device, access, times))),
            },
        ];
        hold(criterion, &Plan { name, ..PLAN }, contestants)
    };
    contests.map(contest).into()
}

/// The difference between a run with many points and a run with few: the start and the end cancel
/// out.
fn slope(mut run: impl FnMut(u64) -> Result<Measured, Failure>) -> Result<Duration, Failure> {
    let (few, many) = (run(BASELINE_POINTS)?, run(BASELINE_POINTS + TIMES)?);
    match many.count - few.count {
        TIMES => Ok(many.time.saturating_sub(few.time)),
        count => Err(format!("{count} points more instead of {TIMES}").into()),
    }
}

/// How long a run took, and how many points it had.
struct Measured {
    time: Duration,
    count: u64,
}

fn by_jitterbug(host: &Host, access: Access, times: u64) -> Result<Measured, Failure> {
    let guest = Guest::new(access, times)?;
    let image =
        GuestImage { name: "accesses".into(), bytes: image::elf_with_shared(&guest.code).into() };
    let config = MachineConfig::new(image, CpuCount::new(access.vcpus() as u32)?);
    let mut machine = ControlledMachine::new(host, &config, Box::new(std::io::sink()))?;
    // The other vCPU if it can go on, which is the simplest possible choice.
    let mut in_turn = |point: &Point| {
        let another = point.enabled.iter().find(|choice| Some(choice.vcpu()) != point.last);
        *another.unwrap_or(&point.enabled[0])
    };
    let start = Busy::start()?;
    let ending = machine.run(&mut in_turn, u64::MAX)?;
    let time = start.elapsed()?;
    match ending {
        End::Guest { code: 0 } => Ok(Measured { time, count: machine.points() }),
        ending => Err(format!("the guest's end: {ending}").into()),
    }
}

fn by_ioctl(device: &Path, access: Access, times: u64) -> Result<Measured, Failure> {
    let guest = Guest::new(access, times)?;
    let entries = &guest.loops[..access.vcpus() as usize];
    let mut machine = Bare::new(device, &Program::flat(guest.code), entries, Stores::Plain)?;
    let (time, accesses) = machine.run_to_end()?;
    Ok(Measured { time, count: accesses / access.exits() })
}

/// A guest that accesses its trapped page.
struct Guest {
    code: Vec<u8>,
    /// The address of each vCPU's loop.
    loops: [u64; 2],
}

/// The address of the second vCPU's loop, which never ends.
const SECOND: u64 = BASE + PAGE;

impl Guest {
    /// All vCPUs together make `times` accesses, a multiple of 2 times [`UNROLLED`], before the
    /// first vCPU ends the run.
    fn new(access: Access, times: u64) -> Result<Self, IcedError> {
        let mut code = if access == Access::Alternating { start_second()? } else { Vec::new() };
        let first = BASE + code.len() as u64;
        let mut a = CodeAssembler::new(32)?;
        accesses(&mut a, access, (times / access.vcpus() / UNROLLED) as u32)?;
        a.xor(eax, eax)?;
        a.out(u32::from(END_PORT), eax)?;
        a.hlt()?;
        code.extend(a.assemble(first)?);
        code.extend(vec![0; PAGE as usize - code.len()]);
        let mut a = CodeAssembler::new(32)?;
        accesses(&mut a, access, u32::MAX)?;
        code.extend(a.assemble(SECOND)?);
        Ok(Self { code, loops: [first, SECOND] })
    }
}

/// This number of rounds of the loop. Each store changes the value, so that it counts as a change.
fn accesses(a: &mut CodeAssembler, access: Access, rounds: u32) -> Result<(), IcedError> {
    let shared = dword_ptr(SHARED);
    a.mov(ecx, rounds)?;
    a.mov(edx, u32::MAX)?;
    let mut reproduce = a.create_label();
    a.set_label(&mut reproduce)?;
    for _ in 0..UNROLLED / 2 {
        match access {
            Access::Load => (a.mov(eax, shared)?, a.mov(eax, shared)?),
            Access::Store => (a.mov(shared, ecx)?, a.mov(shared, edx)?),
            Access::Locked => (a.lock().add(shared, 1)?, a.lock().add(shared, 1)?),
            Access::Alternating => (a.mov(eax, shared)?, a.mov(shared, ecx)?),
        };
    }
    a.dec(ecx)?;
    a.jnz(reproduce)
}

/// The address at which the second vCPU starts, and that of its segment table.
const START: u32 = 0x8000;
const TABLE: u32 = START + 0x100;
/// PVH's flat segments.
const CODE_SEGMENT: u16 = 8;
const DATA_SEGMENT: u32 = 16;

/// Starts the second vCPU by INIT and SIPI (Intel SDM vol. 3, 12.4.4). The code at the SIPI's page
/// switches from real mode to 32-bit protected mode, with the first vCPU's segments.
fn start_second() -> Result<Vec<u8>, IcedError> {
    const COMMAND_LOW: u32 = 0xfee0_0300;
    const COMMAND_HIGH: u32 = 0xfee0_0310;
    const INIT: u32 = 0x4500;
    const STARTUP: u32 = 0x4600;
    let mut real = CodeAssembler::new(16)?;
    real.lgdt(fword_ptr(TABLE))?;
    real.mov(eax, SystemRegisters::CR0_PE as u32)?;
    real.mov(cr0, eax)?;
    real.mov(eax, DATA_SEGMENT)?;
    real.mov(ds, eax)?;
    let jump = Instruction::with_far_branch(Code::Jmp_ptr1632, CODE_SEGMENT, SECOND as u32)?;
    real.add_instruction(jump)?;
    let mut a = CodeAssembler::new(32)?;
    for (at, byte) in (START..).zip(real.assemble(START.into())?) {
        a.mov(byte_ptr(at), u32::from(byte))?;
    }
    a.sgdt(fword_ptr(TABLE))?;
    for command in [INIT, STARTUP | (START / PAGE as u32)] {
        a.mov(dword_ptr(COMMAND_HIGH), 1 << 24)?;
        a.mov(dword_ptr(COMMAND_LOW), command)?;
    }
    a.assemble(BASE)
}
