//! Stopping a vCPU before chosen instructions.
//!
//! The first four of them have an execution breakpoint each, where the host's work
//! ([`DebugCapabilities`] says so). If there are more, or where there are none at all, the vCPU goes in single
//! steps and RIP is compared: slow, and on most hosts blind for what runs in handlers (then the
//! breakpoints are given to the handlers' entries first).
//!
//! Five things need care:
//!
//! * *Leaving.* RFLAGS.RF, which is there to leave a breakpoint, is ignored by some hosts. So its
//!   instruction is stepped over with the breakpoint taken out, and interrupts held back where the
//!   host can, for they would lead away from the instruction.
//! * *The trap flag.* It is how a processor steps; exceptions carry it to the guest's stack. Where KVM
//!   steps without it, it is kept off.
//! * *Accesses.* KVM finishes a port or MMIO access on the next `KVM_RUN`, and may then go on to
//!   execute without a stop: the step is swallowed. Whoever steps has it finished first
//!   ([`Debuggable::finish_access`]).
//! * *IRET, STI.* On some hosts a step over these ends one instruction late. A breakpoint stands in, or
//!   STI is executed here. (Behind MOV SS every processor does so, and nothing stands in.)
//! * *HLT.* A step over it loses the halt on some hosts. It isn't stepped over: where the irqchip is
//!   in the kernel the vCPU is put to sleep behind it, elsewhere HLT exits by itself.

mod code;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use code::{
    HLT, REX_W, STI, forget_step, handler, here, in_user, opcode, repeats, returns_to, slots,
};

use crate::cpu::Debuggable;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::guest_debug::GuestDebug;
use crate::instruction::{self, MAX_INSTRUCTION};
use crate::kvm::DebugCapabilities;
use crate::kvm::Host;
use crate::memory::Memory;
use crate::registers::{Registers, SystemRegisters};

/// DR6.BS: a single step ended (Intel SDM vol. 3, 18.2.3).
const DR6_STEP: u64 = 1 << 14;

/// Who puts a vCPU to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halts {
    /// KVM, which has the irqchip.
    InKernel,
    /// HLT exits.
    Exit,
}

/// Why a vCPU came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An exit. [`Exit::Debug`] only at the end of a step that the scheduler asked for.
    Exit(Exit),
    /// It stands before the instruction at this linear address, which is one of those wanted. It
    /// passes it when it next runs.
    Breakpoint(u64),
}

/// What the scheduler wants of the next run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Want {
    /// Back after one instruction.
    pub(crate) step: bool,
    /// The vector of an interrupt that KVM delivers before the next instruction.
    pub(crate) interrupt: Option<u8>,
}

/// How often a vCPU came to an instruction that somebody wanted to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Hits {
    /// Linear address.
    #[serde(serialize_with = "crate::hex::number")]
    #[schemars(with = "String")]
    pub address: u64,
    /// How often.
    pub hits: u64,
}

/// What this host has to stop vCPUs at instructions. An error if that is nothing.
pub(crate) fn stopping(host: &Host) -> Result<DebugCapabilities> {
    let stopping = DebugCapabilities::of(host);
    if stopping.can_stop() {
        return Ok(stopping);
    }
    let capability = "working KVM_GUESTDBG_SINGLESTEP";
    Err(Error::Capability { capability, purpose: "stop vCPUs at instructions" })
}

/// The breakpoints of one vCPU.
#[derive(Debug)]
pub(crate) struct Breakpoints {
    stopping: DebugCapabilities,
    halts: Halts,
    /// What was asked for, in that order.
    asked: Vec<u64>,
    /// The same, sorted, each once.
    wanted: Vec<u64>,
    /// Those of them that an IDT entry leads to, and that IDT.
    handlers: (Option<(u64, u16)>, Vec<u64>),
    /// What KVM has been told.
    armed: GuestDebug,
    /// The vCPU stands before this instruction or is in the middle of it, and has told of it.
    told: Option<u64>,
    /// It has told of this instruction before it went into a handler that runs unseen, and has not
    /// come back to it.
    early: Option<u64>,
    /// It was put to sleep behind a HLT, and has not done anything since that is known.
    asleep: bool,
    hits: BTreeMap<u64, u64>,
    steps: u64,
}

impl Breakpoints {
    pub(crate) fn new(stopping: DebugCapabilities, halts: Halts) -> Self {
        Self {
            stopping,
            halts,
            asked: Vec::new(),
            wanted: Vec::new(),
            handlers: (None, Vec::new()),
            armed: GuestDebug::default(),
            told: None,
            early: None,
            asleep: false,
            hits: BTreeMap::new(),
            steps: 0,
        }
    }

    /// Linear addresses of instructions; they take the place of the earlier ones.
    pub(crate) fn want(&mut self, addresses: impl Iterator<Item = u64> + Clone) {
        if addresses.clone().eq(self.asked.iter().copied()) {
            return;
        }
        self.asked = addresses.collect();
        self.wanted.clone_from(&self.asked);
        self.wanted.sort_unstable();
        self.wanted.dedup();
        self.handlers = (None, Vec::new());
    }

    /// How often each was hit; those that never were are left out.
    pub(crate) fn hits(&self) -> Vec<Hits> {
        self.hits.iter().map(|(address, hits)| Hits { address: *address, hits: *hits }).collect()
    }

    /// The vCPU stands here, at instruction granularity, where every instruction is looked at. Whether it
    /// is to tell of that; a string instruction that `repeats` tells once.
    pub(crate) fn stands_at(&mut self, at: u64, repeats: bool) -> bool {
        self.told = self.told.filter(|told| *told == at && repeats);
        self.reaches(at)
    }

    /// How many steps were taken on the way.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// The instruction that the vCPU has told of and not yet passed.
    pub(crate) fn told(&self) -> Option<u64> {
        self.told
    }

    /// The vCPU is put somewhere else, where it has told of this instruction. KVM is asked for no
    /// stops until it runs again.
    pub(crate) fn put(&mut self, cpu: &mut impl Debuggable, told: Option<u64>) -> Result<()> {
        (self.told, self.early, self.asleep) = (told, None, false);
        self.disarm(cpu)
    }

    /// Asks KVM for no stops until the vCPU runs again.
    pub(crate) fn disarm(&mut self, cpu: &mut impl Debuggable) -> Result<()> {
        self.arm(cpu, GuestDebug::default())
    }

    /// Runs to the next exit, or to an instruction that is wanted.
    pub(crate) fn run(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: Entry,
        want: Want,
    ) -> Result<Stop> {
        let (mut entry, mut want) = (entry, want);
        loop {
            let mut debug = GuestDebug::default();
            if want.step || self.must_step() || self.told.is_some() {
                if let Some(exit) = self.finish(cpu, memory, &mut entry, want)? {
                    return Ok(Stop::Exit(exit));
                }
                let system = cpu.system_registers()?;
                let at = instruction::linear(cpu.registers()?.rip, &system);
                self.told = self.told.filter(|told| *told == at);
                // An interrupt comes first, and the instruction after it. If nothing stops the vCPU
                // on its way back from there, it has to be told now.
                let undisturbed = want.interrupt.is_none() && !self.asleep;
                if (undisturbed || self.is_blind()) && self.reaches(at) {
                    return Ok(Stop::Breakpoint(at));
                }
                debug.step = want.step || self.must_step() || self.told.is_some();
                debug.block_interrupts =
                    undisturbed && self.told.is_some() && self.stopping.block_interrupts;
                let next = match opcode(at, &system, memory) {
                    _ if !undisturbed => Some(at),
                    HLT if debug.step => {
                        debug.step = false;
                        if self.halts == Halts::InKernel {
                            cpu.halt()?;
                            (self.told, self.asleep) = (None, true);
                            continue;
                        }
                        None
                    }
                    STI if self.is_wanted(at + 1) => {
                        if !self.stopping.breakpoints && !in_user(&system) {
                            cpu.enable_interrupts()?;
                            self.told = None;
                            if want.step {
                                return Ok(Stop::Exit(Exit::Debug { pc: at + 1, dr6: DR6_STEP }));
                            }
                            continue;
                        }
                        Some(at + 1)
                    }
                    REX_W => returns_to(at, cpu, &system, memory)?,
                    _ => None,
                };
                self.choose(&mut debug, &system, memory, want.interrupt, next);
            } else if !self.wanted.is_empty() {
                debug.breakpoints = slots(self.wanted.iter().copied());
            }
            self.arm(cpu, debug)?;
            let exit = cpu.run(std::mem::replace(&mut entry, Entry::Resume))?;
            let disturbed = self.asleep || want.interrupt.is_some();
            self.asleep &= exit == Exit::Kicked;
            if disturbed && !self.asleep && self.told.is_some() {
                self.notice_handler(cpu)?;
            }
            let Exit::Debug { dr6, .. } = exit else {
                if exit == Exit::ApStart {
                    // It has been reset, and the trap flag with it.
                    self.put(cpu, None)?;
                }
                return Ok(Stop::Exit(exit));
            };
            want.interrupt = None;
            if dr6 & DR6_STEP == 0 {
                let at = here(cpu)?;
                if self.reaches(at) {
                    return Ok(Stop::Breakpoint(at));
                }
                // One of the guest's own, which has no breakpoints while the host uses them.
                continue;
            }
            self.pass(cpu, memory, disturbed)?;
            if !debug.step {
                forget_step(cpu)?;
            }
            if want.step {
                return Ok(Stop::Exit(exit));
            }
        }
    }

    /// Finishes the access of the latest exit and runs no further, for one who single-steps. `Some` if
    /// something came first.
    pub(crate) fn finish_access(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: Entry,
    ) -> Result<Option<Exit>> {
        self.finish(cpu, memory, &mut { entry }, Want { step: true, interrupt: None })
    }

    /// Finishes the access of the latest exit, as if the vCPU ran on. `Some` if it came back.
    fn finish(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: &mut Entry,
        want: Want,
    ) -> Result<Option<Exit>> {
        if want.step && !self.armed.step {
            // On some hosts, an access ends with a step.
            self.armed.step = true;
            cpu.set_debug(&self.armed)?;
        }
        match cpu.finish_access(std::mem::replace(entry, Entry::Resume))? {
            Some(exit @ Exit::Debug { .. }) => {
                self.pass(cpu, memory, false)?;
                Ok(Some(exit).filter(|_| want.step))
            }
            other => Ok(other),
        }
    }

    /// An interrupt came. The vCPU is back, in the handler (where interrupts are off) or behind it.
    fn notice_handler(&mut self, cpu: &mut impl Debuggable) -> Result<()> {
        const IF: u64 = Registers::INTERRUPT_FLAG;
        let at = here(cpu)?;
        // A guest may run at the last addresses there are.
        let near = |told: u64| at.wrapping_sub(told) <= MAX_INSTRUCTION as u64;
        if !self.told.is_some_and(near) && cpu.registers()?.rflags & IF == 0 {
            self.early = self.told.take();
        }
        Ok(())
    }

    fn is_wanted(&self, address: u64) -> bool {
        self.wanted.binary_search(&address).is_ok()
    }

    /// Whether more is wanted than breakpoints can do.
    pub(crate) fn must_step(&self) -> bool {
        self.wanted.len() > self.stopping.breakpoint_slots()
    }

    /// Whether the vCPU, which stands here, is to tell of it; it then has.
    fn reaches(&mut self, at: u64) -> bool {
        if self.early == Some(at) {
            self.told = self.early.take();
        }
        let reaches = self.told != Some(at) && self.is_wanted(at);
        if reaches {
            self.told = Some(at);
            *self.hits.entry(at).or_default() += 1;
        }
        reaches
    }

    /// A step has ended. A string instruction that goes on is the same as before, and so is one whose
    /// step went into an interrupt's handler and ended on the way back (`disturbed`). Any other that
    /// stands there again is executed again.
    fn pass(&mut self, cpu: &mut impl Debuggable, memory: &Memory, disturbed: bool) -> Result<()> {
        self.steps += 1;
        if self.told.is_some() {
            let system = cpu.system_registers()?;
            let rip = cpu.registers()?.rip;
            let stays = self.told == Some(instruction::linear(rip, &system))
                && (disturbed || repeats(rip, &system, memory));
            self.told = self.told.filter(|_| stays);
        }
        Ok(())
    }

    /// Whether handlers run unseen.
    fn is_blind(&self) -> bool {
        !self.stopping.breakpoints && !self.stopping.steps_into_handlers
    }

    /// Gives the hardware breakpoints to those that steps would miss, then to others.
    fn choose(
        &mut self,
        debug: &mut GuestDebug,
        system: &SystemRegisters,
        memory: &Memory,
        interrupt: Option<u8>,
        next: Option<u64>,
    ) {
        if !self.stopping.breakpoints || self.wanted.is_empty() {
            return;
        }
        if self.must_step() {
            self.find_handlers(system, memory);
        }
        let entry = interrupt.and_then(|vector| handler(vector, system, memory));
        let first = entry.into_iter().chain(next).filter(|address| self.is_wanted(*address));
        let others = self.wanted.iter().filter(|address| !self.handlers.1.contains(address));
        let order = first.chain(self.handlers.1.iter().chain(others).copied());
        debug.breakpoints = slots(order.filter(|address| Some(*address) != self.told));
    }

    fn find_handlers(&mut self, system: &SystemRegisters, memory: &Memory) {
        let table = Some((system.idt.base, system.idt.limit));
        if self.handlers.0 == table {
            return;
        }
        let entries = (0..=255).filter_map(|vector| handler(vector, system, memory));
        let entries = entries.filter(|entry| self.is_wanted(*entry)).collect();
        self.handlers = (table, entries);
    }

    fn arm(&mut self, cpu: &mut impl Debuggable, debug: GuestDebug) -> Result<()> {
        // Where steps are the trap flag, KVM loses it in many ways.
        let lost = debug.step && !self.stopping.steps_into_handlers;
        if self.armed == debug && !lost {
            return Ok(());
        }
        self.armed = debug;
        if !debug.step || !self.stopping.steps_into_handlers {
            return cpu.set_debug(&debug);
        }
        // Elsewhere it would only show in what an exception puts on the stack. KVM sets it where it
        // thinks that the stepping begins: not here.
        let registers = cpu.registers()?;
        cpu.set_registers(&Registers { rip: !registers.rip, ..registers })?;
        cpu.set_debug(&debug)?;
        cpu.set_registers(&registers)
    }
}
