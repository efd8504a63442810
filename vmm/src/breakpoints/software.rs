//! Stops vCPUs by INT3 instructions in the guest's code, for more addresses than the hardware has
//! breakpoints for.
//!
//! An address that an INT3 can't replace ([`Code`]) gets a hardware breakpoint. If there are more
//! of these than the hardware has, the vCPU is single-stepped as without INT3.
//!
//! * *Leaving an INT3.* It is taken out, its instruction is stepped over with interrupts blocked,
//!   and it is put in again. No other vCPU is in the guest meanwhile ([`Gate`]). If the instruction
//!   faults, the vCPU is stopped at the entry of the handler, as far as hardware breakpoints
//!   suffice, and the INT3 is put in again there.
//! * *Interrupts.* One that is delivered at an INT3 leads to its handler, in which all INT3s are
//!   in place. When the vCPU comes back, with the same stack, the INT3 is not reported again.
//! * *The guest's own INT3.* It exits as well, and the guest is given its #BP.
//! * *The guest's stores to its code* exit. They change the bytes below the INT3s.
//! * *The same code at another linear address.* An INT3 that is hit there is passed and not
//!   reported.

mod choose;
mod code;
mod gate;
mod simple;

use std::collections::BTreeSet;
use std::sync::Arc;

use iced_x86::FlowControl;

use super::code::{HLT, handler, here, opcode};
use super::resume::set_flag;
use super::{BeforeStep, Breakpoints, DR6_STEP, Halts, Reported, Stop, Want};
use crate::cpu::{Cpu, Debuggable};
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::guest_debug::GuestDebug;
use crate::instruction::{self, MAX_INSTRUCTION};
use crate::memory::{INT3, Memory};
use crate::paging;
use crate::registers::SystemRegisters;

pub(crate) use code::Code;
pub(crate) use gate::{Gate, Kick};

/// The most places to which interrupt handlers are expected to return.
const MAX_INTERRUPTED: usize = 16;

/// The vectors of the faults that most instructions can raise: #PF, #GP, #SS and #UD (Intel SDM
/// vol. 3, 6.15).
const FAULTS: [u8; 4] = [14, 13, 12, 6];

/// The INT3s of a machine.
#[derive(Debug, Default)]
pub(crate) struct Int3s {
    pub(crate) code: Code,
    pub(crate) gate: Gate,
}

impl Int3s {
    /// Whether an INT3 can replace the instruction at a linear address.
    pub(crate) fn can_replace(&self, linear: u64, memory: &Memory) -> bool {
        self.code.instruction(linear, memory).is_some()
    }

    /// Called when the host has written guest memory, which may be code.
    pub(crate) fn code_has_changed(&self) {
        self.code.changed();
    }
}

/// The registers that determine the page tables.
type Tables = (u64, u64, u64, u64);

/// An instruction that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    linear: u64,
    /// The guest-physical address.
    at: u64,
    /// Its first byte.
    opcode: u8,
}

/// What an INT3 that was hit means.
enum Hit {
    /// It is to be reported.
    Reported(u64),
    /// It is passed without a report.
    Passed(u64),
    /// It has been reported before.
    Told,
    /// It is the guest's own.
    Guests(u64),
}

/// The INT3s of one vCPU.
#[derive(Debug, Default)]
pub(super) struct Software {
    vcpu: u32,
    /// `None` if the machine has none.
    int3s: Option<Arc<Int3s>>,
    /// Whether the addresses that the vCPU wants have changed since [`Breakpoints::prepare`].
    pub(super) is_stale: bool,
    /// The number of stores to the code by then.
    stores: u64,
    /// Whether the vCPU is stopped by INT3s.
    pub(super) is_used: bool,
    /// The instructions that are replaced, by ascending linear address.
    places: Vec<Place>,
    /// The addresses that get hardware breakpoints.
    others: Vec<u64>,
    /// The addresses that the guest has mapped elsewhere than the image says.
    moved: BTreeSet<u64>,
    /// The page tables by which the addresses were last checked.
    tables: Option<Tables>,
    /// The IDT that was last looked at, and the handlers of [`FAULTS`].
    faults: ((u64, u16, u64), Vec<u64>),
    /// Reported addresses that interrupts have led away from, with RSP.
    interrupted: Vec<(u64, u64)>,
    /// The place of an INT3 of the guest whose #BP has been queued.
    raising: Option<u64>,
    /// Whether the user was told that INT3s are used, and that they can't be.
    is_use_told: bool,
    is_stepping_told: bool,
}

impl Software {
    fn place(&self, linear: u64) -> Option<Place> {
        let found = self.places.binary_search_by_key(&linear, |place| place.linear);
        found.ok().map(|index| self.places[index])
    }

    fn find_faults(&mut self, system: &SystemRegisters, memory: &Memory) {
        let table = (system.idt.base, system.idt.limit, system.cr3);
        if self.faults.0 != table {
            let handlers = FAULTS.iter().filter_map(|vector| handler(*vector, system, memory));
            self.faults = (table, handlers.collect());
        }
    }

    /// Notes that a vCPU has been led away from the reported address `at`.
    pub(super) fn interrupt(&mut self, at: u64, stack: u64) {
        if self.interrupted.len() == MAX_INTERRUPTED {
            self.interrupted.remove(0);
        }
        self.interrupted.push((at, stack));
    }

    /// Called when the vCPU is moved to another place, where `interrupted` holds.
    pub(super) fn put(&mut self, interrupted: Vec<(u64, u64)>) {
        (self.interrupted, self.raising) = (interrupted, None);
        // Memory may have been restored as well.
        self.is_stale |= self.int3s.as_ref().is_some_and(|int3s| int3s.code.stores() > 0);
    }

    pub(super) fn interrupted(&self) -> &[(u64, u64)] {
        &self.interrupted
    }

    /// Whether the vCPU is back from a handler at the reported address `at`.
    fn is_back(&mut self, at: u64, stack: u64) -> bool {
        let found = self.interrupted.iter().rposition(|known| *known == (at, stack));
        found.map(|index| self.interrupted.remove(index)).is_some()
    }
}

impl Breakpoints {
    /// Runs to the next exit or breakpoint. `None` if the means have to be chosen again.
    pub(super) fn run_by_int3(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: &mut Entry,
        want: &mut Want,
    ) -> Result<Option<Stop>> {
        // An INT3 that is passed without a report.
        let mut passing = None;
        // Whether the guest gets the #BP of its own INT3 now.
        let mut raise = false;
        loop {
            if self.find_moved(&cpu.system_registers()?, memory) {
                return Ok(None);
            }
            let mut debug = GuestDebug {
                software_breakpoints: true,
                // An earlier step may have left the trap flag on the guest's stack.
                debug_exceptions: true,
                ..GuestDebug::default()
            };
            // The instruction to execute next, of which the step is.
            let mut leaving = None;
            // The instruction whose hardware breakpoint is left by RFLAGS.RF.
            let mut by_flag = None;
            if self.is_raising(here(cpu)?) {
                // A step would put the trap flag on the stack of the guest's handler.
            } else if want.step || self.told.is_some() || passing.is_some() {
                if let Some(exit) = self.finish(cpu, memory, entry, *want)? {
                    return Ok(Some(Stop::Exit(exit)));
                }
                let at = here(cpu)?;
                self.told = self.told.filter(|told| *told == at);
                passing = passing.filter(|passing| *passing == at);
                if self.asleep || want.interrupt.is_some() {
                    // The interrupt is taken first.
                    if self.told.take().is_some() {
                        self.software.interrupt(at, cpu.registers()?.rsp);
                    }
                    debug.step = want.step;
                } else {
                    if self.reaches(at) {
                        return Ok(Some(Stop::Breakpoint(at)));
                    }
                    let leaves = self.told.is_some() || passing.is_some();
                    debug.step = want.step || leaves;
                    debug.block_interrupts =
                        leaves || want.holds_interrupts && self.stopping.block_interrupts;
                    leaving = debug.step.then_some(at);
                    if debug.step && self.opcode_at(at, cpu, memory)? == HLT {
                        debug.step = false;
                        if self.halts == Halts::InKernel {
                            self.fall_asleep(cpu)?;
                            continue;
                        }
                    } else if self.software.place(at).is_none()
                        && self.leaves_by_flag(cpu, memory, *want)?
                    {
                        (debug.step, debug.block_interrupts) = (false, false);
                        (leaving, by_flag) = (None, Some(at));
                        set_flag(cpu)?;
                    }
                }
            }
            let stack = cpu.registers()?.rsp;
            let resume = std::mem::replace(entry, Entry::Resume);
            let raises = std::mem::take(&mut raise);
            let (without, exit) = self.enter(cpu, memory, resume, &mut debug, leaving, raises)?;
            if let Some(at) = by_flag {
                self.look_at_flag(cpu, at, &exit)?;
            }
            let disturbed = self.asleep || want.interrupt.is_some();
            self.asleep &= exit == Exit::Kicked;
            if exit == Exit::ApStart {
                // The vCPU has been reset, and its trap flag is cleared.
                self.put(cpu, &Reported::default())?;
                return Ok(Some(Stop::Exit(exit)));
            }
            let stepped = matches!(exit, Exit::Debug { dr6, .. } if dr6 & DR6_STEP != 0);
            if !stepped && leaving.is_some() && self.told == leaving {
                self.notice_fault(cpu, memory, stack)?;
            }
            match exit {
                Exit::Int3 { .. } => {
                    want.interrupt = None;
                    match self.hit(cpu, memory, without)? {
                        Hit::Reported(at) => return Ok(Some(Stop::Breakpoint(at))),
                        Hit::Passed(at) => passing = Some(at),
                        Hit::Told => {}
                        Hit::Guests(at) => (self.software.raising, raise) = (Some(at), true),
                    }
                }
                Exit::Debug { .. } if !stepped => {
                    want.interrupt = None;
                    let at = here(cpu)?;
                    let watched = self.watched_by(&exit);
                    let stop = watched.or_else(|| self.reaches(at).then_some(Stop::Breakpoint(at)));
                    if stop.is_some() {
                        return Ok(stop);
                    }
                    // The entry of a handler, or a breakpoint of the guest's own: these don't work
                    // while the host uses breakpoints.
                }
                Exit::Debug { .. } => {
                    (want.interrupt, passing) = (None, None);
                    self.pass(cpu, memory, disturbed)?;
                    if !debug.step {
                        super::code::forget_step(cpu)?;
                    }
                    let watched = self.watched_by(&exit);
                    if watched.is_some() || want.step {
                        return Ok(watched.or(Some(Stop::Exit(exit))));
                    }
                }
                exit => return Ok(Some(Stop::Exit(exit))),
            }
        }
    }

    /// The stop at the watchpoints that this debug exit tells of.
    fn watched_by(&self, exit: &Exit) -> Option<Stop> {
        let Exit::Debug { dr6, .. } = exit else { return None };
        Some(self.touched(*dr6)).filter(|hits| *hits != 0).map(Stop::Watchpoints)
    }

    /// Enters the guest, to execute the instruction at `leaving` if that is given. `raises`: the
    /// guest gets a #BP. Returns the guest-physical address of the instruction that was not
    /// replaced, and the exit.
    fn enter(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        entry: Entry,
        debug: &mut GuestDebug,
        leaving: Option<u64>,
        raises: bool,
    ) -> Result<(Option<u64>, Exit)> {
        let system = cpu.system_registers()?;
        let without = leaving.and_then(|at| self.replaced_at(at, &system, memory));
        let stops_at_faults = without.is_some() && self.stopping.breakpoints;
        if stops_at_faults {
            self.software.find_faults(&system, memory);
        }
        // The step has no RFLAGS.RF, so it would never get past a breakpoint at its instruction.
        let faults = self.software.faults.1.iter().filter(|_| stops_at_faults);
        let faults = faults.filter(|at| Some(**at) != leaving);
        let others = self.software.others.iter().filter(|at| Some(**at) != leaving);
        debug.breakpoints = self.slots(others.chain(faults).copied());
        self.arm(cpu, *debug)?;
        if raises {
            cpu.raise_breakpoint(debug)?;
        }
        let before = if debug.step { BeforeStep::of(cpu)? } else { None };
        let vcpu = self.software.vcpu;
        let exit = match (&self.software.int3s, without) {
            (Some(int3s), Some(without)) => {
                int3s.gate.alone(vcpu, memory, without, || cpu.run(entry))?
            }
            (Some(int3s), None) => int3s.gate.together(vcpu, memory, || cpu.run(entry))?,
            (None, _) => cpu.run(entry)?,
        };
        if let Some(before) = before {
            before.clear_pushed_flag(cpu, memory)?;
        }
        Ok((without, exit))
    }

    /// A vCPU that was to execute the reported instruction at `told` has stopped without a step:
    /// determines whether the instruction has faulted, so that it is executed after the handler.
    fn notice_fault(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        stack: u64,
    ) -> Result<()> {
        let Some(told) = self.told else { return Ok(()) };
        let (system, at) = (cpu.system_registers()?, here(cpu)?);
        let decoded = instruction::look(told, &system, memory);
        let faulted = match decoded.map(|decoded| decoded.instruction.flow_control()) {
            // An exit of the instruction itself is at it or behind it. Wrapping, because a guest
            // may run at the highest addresses.
            Some(FlowControl::Next) => at.wrapping_sub(told) > MAX_INSTRUCTION as u64,
            Some(FlowControl::Interrupt) => false,
            _ => self.software.faults.1.contains(&at),
        };
        if faulted {
            self.software.interrupt(told, stack);
            self.told = None;
        }
        Ok(())
    }

    /// Whether the vCPU, which is at `at`, has an INT3 of the guest there whose #BP it has not been
    /// given yet.
    fn is_raising(&mut self, at: u64) -> bool {
        self.software.raising = self.software.raising.filter(|raising| *raising == at);
        self.software.raising.is_some()
    }

    /// The first byte of the instruction at a linear address.
    pub(super) fn opcode_at(&self, at: u64, cpu: &mut impl Cpu, memory: &Memory) -> Result<u8> {
        match self.software.place(at) {
            Some(place) => Ok(place.opcode),
            None => Ok(opcode(at, &cpu.system_registers()?, memory)),
        }
    }

    /// The guest-physical address of the instruction at a linear address, if an INT3 replaces it.
    fn replaced_at(&self, at: u64, system: &SystemRegisters, memory: &Memory) -> Option<u64> {
        if let Some(place) = self.software.place(at) {
            return Some(place.at);
        }
        let gate = &self.software.int3s.as_ref()?.gate;
        paging::translate(system, memory, at).ok().filter(|at| gate.has(*at))
    }

    /// Determines what the INT3 means that has exited. `without`: the instruction at this
    /// guest-physical address was not replaced.
    fn hit(
        &mut self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        without: Option<u64>,
    ) -> Result<Hit> {
        let (system, at) = (cpu.system_registers()?, here(cpu)?);
        let ours = self.replaced_at(at, &system, memory);
        // If it is not there any more, another vCPU has just taken out one of its own.
        if (ours.is_none() || ours == without) && self.opcode_at(at, cpu, memory)? == INT3 {
            return Ok(Hit::Guests(at));
        }
        if self.software.is_back(at, cpu.registers()?.rsp) {
            self.told = Some(at);
        }
        Ok(if self.software.place(at).is_some() && self.reaches(at) {
            Hit::Reported(at)
        } else if self.told == Some(at) {
            Hit::Told
        } else {
            Hit::Passed(at)
        })
    }
}

#[cfg(test)]
#[path = "software_tests.rs"]
mod tests;
