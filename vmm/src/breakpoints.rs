//! Stops a vCPU before chosen instructions.
//!
//! The first four addresses get an execution breakpoint each, where breakpoints work on the host
//! ([`DebugCapabilities`] says so). For more addresses, INT3s replace the instructions where the
//! host and the image allow it (`software.rs`). Else, the vCPU is single-stepped and RIP is
//! compared. This is slow, and on most hosts it misses code that runs in handlers; the breakpoints
//! are then set on the entries of the handlers first. Data watchpoints use the same debug
//! registers, and are set whenever the vCPU runs; what is left is for breakpoints.
//!
//! Five things need care:
//!
//! * *Leaving a breakpoint.* RFLAGS.RF exists for this purpose (`resume.rs`), but some hosts ignore
//!   it. There the breakpoint is removed while its instruction is stepped over, and interrupts are
//!   blocked where the host can do so, because they would lead away from the instruction.
//! * *The trap flag.* Processors single-step by it, and exceptions save it on the guest's stack. It
//!   is cleared there (`trap_flag.rs`), and where KVM steps without it, it is not set.
//! * *Accesses.* KVM completes a port or MMIO access on the next `KVM_RUN`, and may then execute
//!   further without a stop: the step is lost. So the access is completed before a step
//!   ([`Debuggable::finish_access`]).
//! * *IRET, STI.* On some hosts a step over these ends one instruction late. A breakpoint is set
//!   instead, or STI is executed here. (Behind MOV SS every processor does so, and there is no
//!   replacement.)
//! * *HLT.* A step over it loses the halt on some hosts. So HLT is not stepped over: with an
//!   in-kernel irqchip, the vCPU is put to sleep behind it; otherwise HLT exits by itself.

mod code;
mod raises;
mod resume;
mod software;
mod trap_flag;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use code::{
    HLT, REX_W, SLOTS, STI, forget_step, handler, here, in_user, is_unfinished, opcode, returns_to,
    slots,
};

pub(crate) use raises::Raised;
use software::Software;
pub(crate) use software::{Code, Gate, Int3s, Kick};
pub(crate) use trap_flag::BeforeStep;

use crate::cpu::Debuggable;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::guest_debug::{Breakpoint, GuestDebug};
use crate::instruction::{self, MAX_INSTRUCTION};
use crate::kvm::DebugCapabilities;
use crate::kvm::Host;
use crate::memory::Memory;
use crate::registers::{Registers, SystemRegisters};

/// DR6.BS: a single step ended (Intel SDM vol. 3, 18.2.3).
const DR6_STEP: u64 = 1 << 14;

/// How a vCPU halts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halts {
    /// KVM, with its irqchip, puts the vCPU to sleep.
    InKernel,
    /// HLT exits.
    Exit,
}

/// Why a vCPU stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An exit. It is [`Exit::Debug`] only at the end of a step that the scheduler asked for.
    Exit(Exit),
    /// The vCPU is stopped before the instruction at this linear address, which has a breakpoint.
    /// The vCPU executes the instruction when it next runs.
    Breakpoint(u64),
    /// The vCPU has executed an instruction that touched watched data: bit n is watchpoint n.
    Watchpoints(u8),
}

/// What the scheduler asks of the next run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Want {
    /// Return after one instruction.
    pub(crate) step: bool,
    /// Let the vCPU take no interrupt before that, where the host can block interrupts.
    pub(crate) holds_interrupts: bool,
    /// The vector of an interrupt that KVM delivers before the next instruction.
    pub(crate) interrupt: Option<u8>,
}

/// How often a vCPU reached an instruction at which a hook has a breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Hits {
    /// The linear address of the instruction.
    #[serde(serialize_with = "crate::hex::number")]
    #[schemars(with = "String")]
    pub address: u64,
    /// The number of times that it was reached.
    pub hits: u64,
}

/// The breakpoints of a vCPU that have been reported and whose instructions have not been executed
/// yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The one at which the vCPU stands.
    told: Option<u64>,
    /// One from which an interrupt has led away, to a handler in which the vCPU can't be stopped.
    early: Option<u64>,
    /// Those from which interrupts have led away, with the stack pointers.
    interrupted: Vec<(u64, u64)>,
}

/// The debug capabilities of this host. Fails if vCPUs can't be stopped at instructions.
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
    /// The data watchpoints, in the first debug registers.
    watchpoints: Vec<Breakpoint>,
    /// How many of them were set by [`Self::watching`].
    fixed: usize,
    /// The addresses that were asked for, in that order.
    asked: Vec<u64>,
    /// The same addresses, sorted, without duplicates.
    wanted: Vec<u64>,
    /// The IDT that was searched, and the addresses to which its entries lead.
    handlers: (Option<(u64, u16)>, Vec<u64>),
    /// The debug state that was set in KVM.
    armed: GuestDebug,
    /// The vCPU is stopped before this instruction or is in the middle of it, and the breakpoint
    /// has been reported.
    told: Option<u64>,
    /// The breakpoint that was reported before the vCPU entered a handler in which it can't be
    /// stopped, if the vCPU has not come back to it.
    early: Option<u64>,
    /// The vCPU was put to sleep behind a HLT, and is not known to have done anything since.
    asleep: bool,
    hits: BTreeMap<u64, u64>,
    steps: u64,
    /// The breakpoints at instructions that KVM emulates: RFLAGS.RF does not pass these.
    emulated: BTreeSet<u64>,
    software: Software,
}

impl Breakpoints {
    pub(crate) fn new(stopping: DebugCapabilities, halts: Halts) -> Self {
        Self {
            stopping,
            halts,
            watchpoints: Vec::new(),
            fixed: 0,
            asked: Vec::new(),
            wanted: Vec::new(),
            handlers: (None, Vec::new()),
            armed: GuestDebug::default(),
            told: None,
            early: None,
            asleep: false,
            hits: BTreeMap::new(),
            steps: 0,
            emulated: BTreeSet::new(),
            software: Software::default(),
        }
    }

    /// Sets the data watchpoints, at most as many as there are debug registers. For schedulers that
    /// ask for no steps.
    pub(crate) fn watching(mut self, watchpoints: impl Iterator<Item = Breakpoint>) -> Self {
        self.watchpoints = watchpoints.collect();
        self.fixed = self.watchpoints.len();
        self
    }

    /// Sets data watchpoints behind those, in place of the ones that this call set before.
    pub(crate) fn watch_also(&mut self, watchpoints: &[Breakpoint]) {
        self.watchpoints.truncate(self.fixed);
        self.watchpoints.extend_from_slice(watchpoints);
        self.software.is_stale = true;
    }

    /// Executes the HLT at RIP, if there is one: the vCPU then sleeps behind it. Returns whether
    /// there is. For machines with an in-kernel irqchip.
    pub(crate) fn halt(&mut self, cpu: &mut impl Debuggable, memory: &Memory) -> Result<bool> {
        let at = here(cpu)?;
        let halts = self.opcode_at(at, cpu, memory)? == HLT;
        if halts {
            self.fall_asleep(cpu)?;
        }
        Ok(halts)
    }

    /// Executes the HLT at RIP.
    fn fall_asleep(&mut self, cpu: &mut impl Debuggable) -> Result<()> {
        cpu.halt()?;
        (self.told, self.asleep) = (None, true);
        Ok(())
    }

    /// Sets the linear addresses of the breakpoints; they replace the earlier ones.
    pub(crate) fn want(&mut self, addresses: impl Iterator<Item = u64> + Clone) {
        if addresses.clone().eq(self.asked.iter().copied()) {
            return;
        }
        self.asked = addresses.collect();
        self.wanted.clone_from(&self.asked);
        self.wanted.sort_unstable();
        self.wanted.dedup();
        self.handlers = (None, Vec::new());
        self.software.is_stale = true;
    }

    /// How often each breakpoint was hit, without those that were never hit.
    pub(crate) fn hits(&self) -> Vec<Hits> {
        self.hits.iter().map(|(address, hits)| Hits { address: *address, hits: *hits }).collect()
    }

    /// Called at instruction granularity before every instruction. Returns whether there is a
    /// breakpoint to report here; it is reported once for a string instruction that `repeats`.
    pub(crate) fn stands_at(&mut self, at: u64, repeats: bool) -> bool {
        self.told = self.told.filter(|told| *told == at && repeats);
        self.reaches(at)
    }

    /// The number of single steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// The breakpoints that have been reported and whose instructions have not been executed yet.
    pub(crate) fn reported(&self) -> Reported {
        let interrupted = self.software.interrupted().to_vec();
        Reported { told: self.told, early: self.early, interrupted }
    }

    /// Called when the vCPU is moved to another place, where these breakpoints have been reported.
    /// Removes breakpoints and steps from KVM until the vCPU runs again.
    pub(crate) fn put(&mut self, cpu: &mut impl Debuggable, reported: &Reported) -> Result<()> {
        (self.told, self.early, self.asleep) = (reported.told, reported.early, false);
        self.software.put(reported.interrupted.clone());
        self.disarm(cpu)
    }

    /// Removes breakpoints and steps from KVM until the vCPU runs again.
    pub(crate) fn disarm(&mut self, cpu: &mut impl Debuggable) -> Result<()> {
        self.arm(cpu, GuestDebug::default())
    }

    /// Runs to the next exit or breakpoint.
    pub(crate) fn run(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: Entry,
        want: Want,
    ) -> Result<Stop> {
        let (mut entry, mut want) = (entry, want);
        loop {
            self.prepare(memory)?;
            let stop = if self.software.is_used {
                self.run_by_int3(cpu, memory, &mut entry, &mut want)?
            } else {
                self.clear_int3s(memory)?;
                let next = std::mem::replace(&mut entry, Entry::Resume);
                Some(self.run_by_registers(cpu, memory, next, want)?)
            };
            match stop {
                Some(Stop::Exit(exit)) if self.store_to_code(memory, &exit)? => {
                    want.interrupt = None;
                }
                Some(stop) => return Ok(stop),
                None => {}
            }
        }
    }

    /// Runs to the next exit or breakpoint, by hardware breakpoints and single steps.
    fn run_by_registers(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: Entry,
        want: Want,
    ) -> Result<Stop> {
        let (mut entry, mut want) = (entry, want);
        loop {
            let mut debug = GuestDebug { breakpoints: self.slots(None), ..GuestDebug::default() };
            if want.step || self.must_step() || self.told.is_some() {
                if let Some(exit) = self.finish(cpu, memory, &mut entry, want)? {
                    return Ok(Stop::Exit(exit));
                }
                let system = cpu.system_registers()?;
                let at = instruction::linear(cpu.registers()?.rip, &system);
                self.told = self.told.filter(|told| *told == at);
                // An interrupt is taken first, and this instruction is executed after its handler.
                // If nothing stops the vCPU when it comes back, the breakpoint has to be reported
                // now.
                let undisturbed = want.interrupt.is_none() && !self.asleep;
                if (undisturbed || self.is_blind()) && self.reaches(at) {
                    return Ok(Stop::Breakpoint(at));
                }
                let halts = self.halts == Halts::InKernel && opcode(at, &system, memory) == HLT;
                if undisturbed && !halts && self.leaves_by_flag(cpu, memory, want)? {
                    match self.leave_by_flag(cpu, at)? {
                        Some(stop) => return Ok(stop),
                        None => continue,
                    }
                }
                debug.step = want.step || self.must_step() || self.told.is_some();
                let holds = self.told.is_some() || want.holds_interrupts;
                debug.block_interrupts = undisturbed && holds && self.stopping.block_interrupts;
                let next = match opcode(at, &system, memory) {
                    _ if !undisturbed => Some(at),
                    HLT if debug.step => {
                        debug.step = false;
                        if self.halts == Halts::InKernel {
                            self.fall_asleep(cpu)?;
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
                debug.breakpoints = self.slots(self.wanted.iter().copied());
            }
            self.arm(cpu, debug)?;
            let before = if debug.step { BeforeStep::of(cpu)? } else { None };
            let exit = cpu.run(std::mem::replace(&mut entry, Entry::Resume))?;
            if let Some(before) = before {
                before.clear_pushed_flag(cpu, memory)?;
            }
            let disturbed = self.asleep || want.interrupt.is_some();
            self.asleep &= exit == Exit::Kicked;
            if disturbed && !self.asleep && self.told.is_some() {
                self.notice_handler(cpu)?;
            }
            let Exit::Debug { dr6, .. } = exit else {
                if exit == Exit::ApStart {
                    // The vCPU has been reset, and its trap flag is cleared.
                    self.put(cpu, &Reported::default())?;
                }
                return Ok(Stop::Exit(exit));
            };
            want.interrupt = None;
            let touched = self.touched(dr6);
            if dr6 & DR6_STEP == 0 {
                if touched != 0 {
                    // Without a step's end, this was an instruction of a handler, or the one that
                    // the vCPU was stopped before.
                    let at = here(cpu)?;
                    if self.told.is_some_and(|told| told != at) {
                        self.early = self.told.take();
                    }
                    return Ok(Stop::Watchpoints(touched));
                }
                let at = here(cpu)?;
                if self.reaches(at) {
                    return Ok(Stop::Breakpoint(at));
                }
                // A breakpoint of the guest's own: these don't work while the host uses
                // breakpoints.
                continue;
            }
            self.pass(cpu, memory, disturbed)?;
            if !debug.step {
                forget_step(cpu)?;
            }
            if touched != 0 {
                return Ok(Stop::Watchpoints(touched));
            }
            if want.step {
                return Ok(Stop::Exit(exit));
            }
        }
    }

    /// The watchpoints that DR6 says were hit, one bit for each.
    fn touched(&self, dr6: u64) -> u8 {
        dr6 as u8 & ((1 << self.watchpoints.len()) - 1)
    }

    /// The watchpoints, and breakpoints at the first of these addresses for which there is room.
    fn slots(&self, addresses: impl IntoIterator<Item = u64>) -> [Option<Breakpoint>; SLOTS] {
        slots(&self.watchpoints, addresses.into_iter())
    }

    /// Completes the access of the latest exit and runs no further. `step`: the vCPU is then
    /// single-stepped. `Some` if something else came first.
    pub(crate) fn finish_access(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: Entry,
        step: bool,
    ) -> Result<Option<Exit>> {
        self.finish(cpu, memory, &mut { entry }, Want { step, ..Want::default() })
    }

    /// Completes the access of the latest exit before the vCPU runs on. `Some` if this ended with
    /// an exit.
    fn finish(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: &mut Entry,
        want: Want,
    ) -> Result<Option<Exit>> {
        if want.step && !self.armed.step {
            // On some hosts, completing an access ends with a step.
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

    /// An interrupt was delivered: determines whether the vCPU is in its handler (where interrupts
    /// are disabled) or already behind it.
    fn notice_handler(&mut self, cpu: &mut impl Debuggable) -> Result<()> {
        const IF: u64 = Registers::INTERRUPT_FLAG;
        let at = here(cpu)?;
        // Wrapping, because a guest may run at the highest addresses.
        let near = |told: u64| at.wrapping_sub(told) <= MAX_INSTRUCTION as u64;
        if !self.told.is_some_and(near) && cpu.registers()?.rflags & IF == 0 {
            self.early = self.told.take();
        }
        Ok(())
    }

    /// Called when the vCPU was taken to the handler of an interrupt without KVM. `at` and `stack`:
    /// the instruction and the stack pointer to which it comes back.
    pub(crate) fn notice_delivery(&mut self, at: u64, stack: u64) {
        if self.told.take_if(|told| *told == at).is_none() {
            return;
        }
        if self.software.is_used {
            self.software.interrupt(at, stack);
        } else {
            self.early = Some(at);
        }
    }

    fn is_wanted(&self, address: u64) -> bool {
        self.wanted.binary_search(&address).is_ok()
    }

    /// Whether there are more breakpoints than the hardware has, and INT3 can't be used.
    pub(crate) fn must_step(&self) -> bool {
        !self.software.is_used && self.wanted.len() > self.free_slots()
    }

    /// The number of debug registers that are left for breakpoints.
    fn free_slots(&self) -> usize {
        self.stopping.breakpoint_slots().saturating_sub(self.watchpoints.len())
    }

    /// Whether there is a breakpoint to report here; it then counts as reported.
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

    /// Called when a step has ended. A string instruction that continues is still the same
    /// instruction, and so is an instruction that KVM starts again, or whose step went into an
    /// interrupt handler and ended on the way back (`disturbed`). Any other instruction at this
    /// address is executed anew, and reported again.
    fn pass(&mut self, cpu: &mut impl Debuggable, memory: &Memory, disturbed: bool) -> Result<()> {
        self.steps += 1;
        if self.told.is_some() {
            let system = cpu.system_registers()?;
            let rip = cpu.registers()?.rip;
            let stays = self.told == Some(instruction::linear(rip, &system))
                && (disturbed || is_unfinished(rip, &system, memory));
            self.told = self.told.filter(|_| stays);
        }
        Ok(())
    }

    /// Whether the vCPU can't be stopped in handlers.
    fn is_blind(&self) -> bool {
        !self.stopping.breakpoints && !self.stopping.steps_into_handlers
    }

    /// Sets hardware breakpoints first at the addresses that steps would miss, then at others.
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
        let order: Vec<_> = order.filter(|address| Some(*address) != self.told).collect();
        debug.breakpoints = self.slots(order);
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
        // Where steps use the trap flag, KVM loses it in many ways.
        let lost = debug.step && !self.stopping.steps_into_handlers;
        if self.armed == debug && !lost {
            return Ok(());
        }
        self.armed = debug;
        if !debug.step || !self.stopping.steps_into_handlers {
            return cpu.set_debug(&debug);
        }
        // Elsewhere, the trap flag would only be visible in what an exception puts on the stack.
        // KVM sets it at the RIP where stepping starts, so RIP is changed for the call.
        let registers = cpu.registers()?;
        cpu.set_registers(&Registers { rip: !registers.rip, ..registers })?;
        cpu.set_debug(&debug)?;
        cpu.set_registers(&registers)
    }
}
