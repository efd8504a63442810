//! Faults under the controlled scheduler: where they may strike, and what they do there.
//!
//! Whether a fault strikes is a choice, so a run with faults is still a function of its choices.
//! How often a fault has struck, and how many events have matched it, is part of the machine's
//! state: snapshots hold it.

use std::ops::Range;

use devices::ipi_faults::{IpiFault, elsewhere};
use devices::lapic::Lapic;

use super::ControlledMachine;
use super::apic::register;
use super::device_access::apic_write;
use super::granularity::Granularity;
use super::hash::tag;
use super::vcpu_context::State;
use crate::boot::elf::{Image, executable};
use crate::choice::Choice;
use crate::config::MachineConfig;
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::fault::{FaultKind, FaultSpec, Strike, Struck};
use crate::hook::{ApicEvent, IpiMode};
use crate::paging;
use devices::apics::IpiEffect;

/// The faults of a machine.
#[derive(Debug)]
pub(super) struct Faults {
    specs: Vec<FaultSpec>,
    /// The guest-physical ranges of the image's code.
    code: Vec<Range<u64>>,
    pub(super) state: FaultState,
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultState {
    /// For each fault: how many events have matched it.
    matched: Vec<u64>,
    strikes: Vec<Strike>,
}

/// An IPI that a vCPU is about to send.
struct Sends {
    mode: IpiMode,
    targets: u64,
}

impl Faults {
    /// Fails if a fault can't strike in this machine.
    pub(super) fn of(config: &MachineConfig) -> Result<Self> {
        let specs = config.faults.clone();
        for spec in &specs {
            check(spec, config)?;
        }
        if specs.len() > usize::from(u8::MAX) {
            let problem = "a machine can have 255 of them".into();
            let value = format!("({} faults)", specs.len());
            return Err(Error::Config { setting: "--fault", value, problem });
        }
        let state = FaultState { matched: vec![0; specs.len()], strikes: Vec::new() };
        let code = executable(Image::of(config));
        Ok(Self { specs, code, state })
    }

    /// Whether there is a fault with this number.
    pub(super) fn has(&self, number: u8) -> bool {
        (1..=self.specs.len()).contains(&usize::from(number))
    }

    /// The faults that may still strike, with their numbers.
    fn armed(&self) -> impl Iterator<Item = (u8, &FaultSpec)> {
        (1..).zip(&self.specs).filter(|(number, spec)| {
            let struck = self.state.strikes.iter().filter(|strike| strike.number == *number);
            struck.count() < spec.times as usize
        })
    }

    /// Whether the next event that matches this fault is the one that it strikes.
    fn is_next(&self, number: u8, spec: &FaultSpec) -> bool {
        let matched = self.state.matched.get(usize::from(number) - 1).copied().unwrap_or(0);
        spec.nth.is_none_or(|nth| nth == matched + 1)
    }

    /// Counts an event for all faults that it matches.
    fn count(&mut self, matches: impl Fn(&FaultSpec) -> bool) {
        for (spec, matched) in self.specs.iter().zip(&mut self.state.matched) {
            *matched += u64::from(matches(spec));
        }
    }
}

fn check(spec: &FaultSpec, config: &MachineConfig) -> Result<()> {
    let refused = |problem: String| {
        Err(Error::Config { setting: "--fault", value: spec.to_string(), problem })
    };
    let cpus = config.cpus.get();
    if let Some(vcpu) = [spec.vcpu, spec.to].into_iter().flatten().find(|vcpu| *vcpu >= cpus) {
        return refused(format!("there is no vCPU {vcpu}: the machine has {cpus} (--cpus)"));
    }
    if spec.kind.is_of_disk() {
        return refused("a machine under control has no disks: use `run`".into());
    }
    if !spec.kind.is_for_hunt() {
        return refused("a search has no such fault: use `run`".into());
    }
    let timed = [("at", spec.at.is_some()), ("every", spec.every.is_some())];
    let nth = spec.nth.is_some() && spec.kind.has_time();
    let timed = timed.into_iter().chain([("p", spec.probability.is_some()), ("nth", nth)]);
    if let Some((key, _)) = timed.into_iter().find(|(_, given)| *given) {
        return refused(format!("under control, the search chooses when: leave out `{key}`"));
    }
    if spec.kind == FaultKind::BitFlip && spec.bit.is_none() {
        return refused("which bit? Give bit=N: a replay repeats it".into());
    }
    if spec.symbol.is_some() && spec.address.is_none() {
        return refused("the symbol has no address yet: that has to be looked up first".into());
    }
    if spec.kind.is_of_ipi() && config.granularity == Granularity::Instruction {
        let problem = "at this granularity a vCPU is not stopped before it sends an IPI: leave out \
                       --granularity instruction";
        return refused(problem.into());
    }
    Ok(())
}

impl ControlledMachine {
    /// The faults that have struck in this run.
    pub fn strikes(&self) -> &[Strike] {
        &self.faults.state.strikes
    }

    /// Lists the faults that may strike now, beside these transitions.
    pub(super) fn list_faults(&self, enabled: &[Choice], possible: &mut Vec<Choice>) {
        possible.clear();
        for (number, spec) in self.faults.armed() {
            match spec.kind {
                // Whatever vCPUs do next, they find the bit as it is then: one vCPU is enough.
                FaultKind::BitFlip => {
                    let mut vcpus = 0..self.vcpus.len() as u32;
                    let vcpu = vcpus.find(|vcpu| self.is_at(spec, *vcpu));
                    possible.extend(vcpu.map(|vcpu| Choice::Fault(vcpu, number)));
                }
                FaultKind::Nmi | FaultKind::IrqSpurious => {
                    let vcpus = 0..self.vcpus.len() as u32;
                    let vcpus = vcpus.filter(|vcpu| self.may_get(spec, *vcpu));
                    possible.extend(vcpus.map(|vcpu| Choice::Fault(vcpu, number)));
                }
                _ => possible.extend(enabled.iter().filter_map(|choice| {
                    let may = self.faults.is_next(number, spec) && self.may_strike(spec, *choice);
                    may.then_some(Choice::Fault(choice.vcpu(), number))
                })),
            }
        }
    }

    /// Whether a fault can strike what this transition is about to do.
    fn may_strike(&self, spec: &FaultSpec, choice: Choice) -> bool {
        match choice {
            Choice::Step(vcpu) if spec.kind.is_of_ipi() => {
                self.sends(vcpu).is_some_and(|sends| self.affected(spec, vcpu, &sends) != 0)
            }
            Choice::Interrupt(vcpu) if spec.kind == FaultKind::IrqDrop => {
                let lapic = self.lapic(vcpu);
                // The IOAPIC would wait for the end of a level-triggered one for ever.
                lapic.pending().is_some_and(|vector| {
                    spec.covers(vcpu, vector) && !lapic.is_level_triggered(vector)
                })
            }
            _ => false,
        }
    }

    /// Whether a fault may strike at this vCPU, which has been started.
    fn is_at(&self, spec: &FaultSpec, vcpu: u32) -> bool {
        let is_started = self.vcpus[vcpu as usize].state != State::WaitForSipi;
        spec.vcpu.is_none_or(|wanted| wanted == vcpu) && is_started
    }

    /// Changes the bit of memory that a fault names. `None` if there is no memory at its address,
    /// the vCPU's page tables don't map it, or it is code, whose instructions are looked at only
    /// once: then nothing happens.
    fn flip(&mut self, vcpu: u32, spec: &FaultSpec) -> Result<Option<Struck>> {
        let bit = spec.bit.unwrap_or(0);
        let offset = u64::from(bit / 8);
        let system = self.vcpus[vcpu as usize].cpu.system_registers()?;
        let physical = match (spec.physical, spec.address) {
            (Some(physical), _) => Some(physical.wrapping_add(offset)),
            (None, Some(linear)) => {
                paging::translate(&system, &*self.memory, linear.wrapping_add(offset)).ok()
            }
            (None, None) => None,
        };
        let is_code = |at: &u64| self.faults.code.iter().any(|range| range.contains(at));
        let physical = physical.filter(|at| !is_code(at));
        let mut byte = [0];
        let Some(physical) = physical.filter(|at| self.memory.read(*at, &mut byte).is_ok()) else {
            return Ok(None);
        };
        self.memory.flip_bit(physical, (bit % 8) as u8)?;
        self.everything_may_have_changed();
        Ok(Some(Struck::Bit { address: spec.address.or(spec.physical).unwrap_or(0), bit }))
    }

    /// Whether a vCPU can get what nothing has sent.
    fn may_get(&self, spec: &FaultSpec, vcpu: u32) -> bool {
        let (ctx, lapic) = (&self.vcpus[vcpu as usize], self.lapic(vcpu));
        let wanted = spec.vcpu.is_none_or(|wanted| wanted == vcpu);
        let fresh = match spec.vector {
            Some(vector) => lapic.enabled() && !lapic.requests(vector),
            None => !ctx.shadow.nmi_pending,
        };
        wanted && fresh && ctx.state != State::WaitForSipi
    }

    /// The targets of an IPI that a fault strikes.
    fn affected(&self, spec: &FaultSpec, vcpu: u32, sends: &Sends) -> u64 {
        let affected = spec.targets(vcpu, sends.mode, sends.targets);
        if spec.kind == FaultKind::IpiMisroute && self.elsewhere(vcpu, sends) == 0 {
            return 0;
        }
        affected
    }

    fn elsewhere(&self, vcpu: u32, sends: &Sends) -> u64 {
        elsewhere(self.lapic(vcpu).id(), sends.targets, self.vcpus.len())
    }

    fn lapic(&self, vcpu: u32) -> &Lapic {
        &self.platform.apics.lapics[vcpu as usize]
    }

    /// The IPI that a vCPU's next access sends.
    fn sends(&self, vcpu: u32) -> Option<Sends> {
        let State::Access(exit) = &self.vcpus[vcpu as usize].state else { return None };
        self.sent_by(vcpu, exit)
    }

    fn sent_by(&self, vcpu: u32, exit: &Exit) -> Option<Sends> {
        let (address, value) = apic_write(exit)?;
        match self.would_send(vcpu, register(address)?, value)? {
            ApicEvent::Ipi { mode, targets } => Some(Sends { mode, targets }),
            _ => None,
        }
    }

    /// Counts the IPI that this access sends, for faults that strike the n-th.
    pub(super) fn count_ipi(&mut self, vcpu: u32, exit: &Exit) {
        if self.faults.specs.is_empty() {
            return;
        }
        if let Some(Sends { mode, targets }) = self.sent_by(vcpu, exit) {
            self.faults
                .count(|spec| spec.kind.is_of_ipi() && spec.targets(vcpu, mode, targets) != 0);
        }
    }

    /// Counts an interrupt that a vCPU takes or loses.
    pub(super) fn count_interrupt(&mut self, vcpu: u32, vector: u8) {
        self.faults.count(|spec| spec.kind == FaultKind::IrqDrop && spec.covers(vcpu, vector));
    }

    /// Called when the vCPU whose IPI a fault was to strike doesn't send it after all.
    pub(super) fn fault_lapses(&mut self) {
        if self.platform.apics.clear_ipi_fault() {
            self.faults.state.strikes.pop();
        }
    }

    /// Lets a fault strike. Returns the transition that happens with it: a vCPU that sends an IPI
    /// makes its access. `None` if no vCPU runs.
    pub(super) fn strike(&mut self, vcpu: u32, number: u8) -> Result<Option<Choice>> {
        let Some(spec) = self.faults.specs.get(usize::from(number) - 1).cloned() else {
            return Ok(None);
        };
        self.hash.add([tag::FAULT, vcpu.into(), number.into()]);
        self.progress.note();
        let (mut next, pending) = (None, self.lapic(vcpu).pending());
        let event = match (spec.kind, spec.vector) {
            (FaultKind::Nmi, _) => {
                self.apply_ipi_effect(IpiEffect::Nmi(vcpu))?;
                Struck::SpuriousNmi
            }
            (FaultKind::IrqSpurious, Some(vector)) => {
                self.platform.apics.lapics[vcpu as usize].accept(vector, false);
                Struck::SpuriousInterrupt(vector)
            }
            (FaultKind::IrqDrop, _) => {
                let Some(vector) = pending else { return Ok(None) };
                self.count_interrupt(vcpu, vector);
                self.platform.apics.lapics[vcpu as usize].lose(vector);
                Struck::LostInterrupt(vector)
            }
            (FaultKind::BitFlip, _) => {
                let Some(struck) = self.flip(vcpu, &spec)? else { return Ok(None) };
                struck
            }
            (kind, _) => {
                let Some(sends) = self.sends(vcpu) else { return Ok(None) };
                let targets = self.affected(&spec, vcpu, &sends);
                let until = self.platform.now() + spec.time.map_or(0, nanoseconds);
                self.platform.apics.strike_next_ipi(ipi_fault(kind, until), targets);
                next = Some(Choice::Step(vcpu));
                let instead = self.elsewhere(vcpu, &sends);
                Struck::Ipi { kind, mode: sends.mode, targets, instead }
            }
        };
        let rip = self.vcpus[vcpu as usize].cpu.registers()?.rip;
        let strike = Strike { number, point: self.points, vcpu, rip, event };
        self.faults.state.strikes.push(strike);
        Ok(next)
    }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn ipi_fault(kind: FaultKind, until: u64) -> IpiFault {
    match kind {
        FaultKind::IpiDelay => IpiFault::Delay { until },
        FaultKind::IpiDuplicate => IpiFault::Duplicate { until },
        FaultKind::IpiMisroute => IpiFault::Misroute,
        FaultKind::IpiReorder => IpiFault::Reorder { until },
        _ => IpiFault::Drop,
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
