//! Proving a hang.
//!
//! When every vCPU waits, sleeps or was never started, and no timer is armed, each waiting vCPU goes
//! round its loop once, and then once more. If the whole machine, registers, extended state and every
//! page written, is the same after the second round as after the first, and every instruction of the
//! rounds is one whose effect is a function of what is compared (`repeatable.rs`), it can never do
//! anything else. `docs/proof.md` has the argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ControlledMachine;
use super::choice::Choice;
use super::outcome::Ending;
use super::repeatable;
use super::seat::State;
use super::single;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::instruction::Decoded;
use crate::kvm::{CpuState, KvmCpu};
use crate::memory::PAGE_SIZE;
use crate::registers::{Registers, SystemRegisters};

/// What an attempt to prove a hang came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The machine can never do anything else.
    Hang,
    /// It may: some vCPU is ready again.
    GoesOn,
    /// The run ended in a round.
    Ended(Ending),
}

/// The rounds of a proof while they are made: each instruction is looked at before it is executed.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// An instruction that the proof can't stand on.
    outside: Option<String>,
    /// An instruction changed more of a vCPU than its general registers.
    extended: bool,
    /// The instruction that is executed next, and where it leads if it branches.
    next: Option<(Arc<Decoded>, Option<u64>)>,
}

/// What must come back: the registers of all vCPUs and the pages that a round writes.
#[derive(PartialEq)]
struct Picture {
    registers: Vec<(Registers, SystemRegisters)>,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// What came of one round.
enum Round {
    Repeats(Picture),
    Other(Proof),
}

impl Rounds {
    /// The vCPU is about to execute this.
    pub(super) fn look_at(&mut self, decoded: Option<&Decoded>) {
        if self.outside.is_none() {
            self.outside = repeatable::outside(decoded);
        }
        self.extended |= decoded.is_none_or(|decoded| decoded.hidden);
    }
}

impl ControlledMachine {
    /// Lets the vCPUs that wait go round twice, and compares.
    pub(super) fn prove_hang(&mut self) -> Result<Proof> {
        self.take_dirty(|_| ())?;
        self.rounds = Some(Rounds::default());
        let proof = self.two_rounds();
        let rounds = self.rounds.take().unwrap_or_default();
        let mut proof = proof?;
        if let (Proof::Hang, Some(instruction)) = (&proof, &rounds.outside) {
            tracing::debug!("no proof of a hang: {instruction} in a loop that waits");
            proof = Proof::GoesOn;
        }
        if proof == Proof::Hang && self.hypervisor_writes() {
            tracing::debug!("no proof of a hang: KVM itself writes to a page of the guest");
            proof = Proof::GoesOn;
        }
        // The rounds may have left behind what an endless loop reads.
        if proof == Proof::Hang && self.look_at_endless_loops()? {
            proof = Proof::GoesOn;
        }
        if proof == Proof::GoesOn {
            // These vCPUs only looked as if they waited. They have a budget (`idle.rs`), and are not
            // asked again before something changes.
            let progress = self.idle.count();
            for seat in &mut self.seats {
                if seat.state.waits() {
                    seat.unproven = Some(progress);
                }
                seat.wake();
            }
        }
        Ok(proof)
    }

    fn two_rounds(&mut self) -> Result<Proof> {
        let first = match self.round()? {
            Round::Repeats(picture) => picture,
            Round::Other(proof) => return Ok(proof),
        };
        // The first round has met every instruction of the loops.
        let extended = self.rounds.as_ref().is_some_and(|rounds| rounds.extended);
        let before = if extended { self.extended_states()? } else { Vec::new() };
        let second = match self.round()? {
            Round::Repeats(picture) => picture,
            Round::Other(proof) => return Ok(proof),
        };
        let mut same = first == second;
        for (seat, state) in self.seats.iter_mut().zip(&before) {
            same = same && state.hidden_state_is_same(&mut seat.cpu)?;
        }
        Ok(if same { Proof::Hang } else { Proof::GoesOn })
    }

    /// The extended state of all vCPUs: FPU, vector and debug registers, MSRs.
    fn extended_states(&mut self) -> Result<Vec<CpuState>> {
        let Self { seats, tracking, .. } = self;
        seats.iter_mut().map(|seat| seat.cpu.save(tracking.msrs())).collect()
    }

    /// Lets every waiting vCPU go round once.
    fn round(&mut self) -> Result<Round> {
        for vcpu in 0..self.seats.len() as u32 {
            if self.seats[vcpu as usize].state.waits()
                && let Some(other) = self.lap(vcpu)?
            {
                return Ok(Round::Other(other));
            }
        }
        let mut picture = Picture { registers: Vec::new(), pages: BTreeMap::new() };
        for seat in &mut self.seats {
            picture.registers.push((seat.cpu.registers()?, seat.cpu.system_registers()?));
        }
        let mut written = Vec::new();
        self.take_dirty(|address| written.push(address))?;
        for address in written {
            let mut page = vec![0; PAGE_SIZE as usize];
            self.memory.read(address, &mut page)?;
            picture.pages.insert(address, page);
        }
        Ok(Round::Repeats(picture))
    }

    /// Lets one vCPU go until it stands where it stood, with the same registers: `None` then. What it
    /// has read afterwards is what its loop reads.
    fn lap(&mut self, vcpu: u32) -> Result<Option<Proof>> {
        let seat = &mut self.seats[vcpu as usize];
        let (start, state) = (seat.cpu.registers()?, seat.state.clone());
        seat.trail.clear();
        let progress = self.idle.count();
        for _ in 0..self.granularity.longest_round() {
            if let Some(ending) = self.take(Choice::Step(vcpu))? {
                return Ok(Some(Proof::Ended(ending)));
            }
            if self.idle.count() != progress {
                return Ok(Some(Proof::GoesOn));
            }
            let seat = &mut self.seats[vcpu as usize];
            if seat.state.stands_as(&state) && seat.cpu.registers()? == start {
                seat.state = state;
                return Ok(None);
            }
        }
        // A round too long to be compared: it counts as one that doesn't repeat itself.
        Ok(Some(Proof::GoesOn))
    }

    /// In a round of a proof: finishes the latest access, and looks at the instruction behind it. `Some`
    /// if another exit came first.
    pub(super) fn look_ahead(&mut self, vcpu: u32, entry: &mut Entry) -> Result<Option<Exit>> {
        if self.rounds.is_none() {
            return Ok(None);
        }
        let seat = &mut self.seats[vcpu as usize];
        let answer = std::mem::replace(entry, Entry::Resume);
        match seat.breakpoints.finish_access(&mut seat.cpu, &self.memory, answer)? {
            None | Some(Exit::Debug { .. }) => {}
            Some(exit) => return Ok(Some(exit)),
        }
        loop {
            let cpu = &mut self.seats[vcpu as usize].cpu;
            let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
            let decoded = self.instructions.at(registers.rip, &system, &self.memory);
            let lets_in = decoded.as_deref().is_some_and(|it| self.may_let_interrupt_in(vcpu, it));
            let Some(rounds) = &mut self.rounds else { return Ok(None) };
            rounds.look_at(decoded.as_deref());
            if lets_in {
                rounds.outside.get_or_insert("an interrupt may come".into());
            }
            let Some(decoded) = decoded else { return Ok(None) };
            rounds.next = None;
            if self.execute_unsteppable(vcpu, &decoded)? {
                continue;
            }
            let target = single::target(&decoded, &registers, &system, &self.memory);
            if let Some(rounds) = &mut self.rounds {
                rounds.next = Some((decoded, target));
            }
            return Ok(None);
        }
    }

    /// In a round of a proof: a single step has ended. Was it the instruction that was looked at, and no
    /// more?
    pub(super) fn look_back(&mut self, vcpu: u32) -> Result<()> {
        let rip = self.seats[vcpu as usize].cpu.registers()?.rip;
        if let Some(rounds) = &mut self.rounds
            && let Some((decoded, target)) = rounds.next.take()
            && !single::leads_to(&decoded, target, rip)
        {
            rounds.outside.get_or_insert("an instruction that can't be stepped".into());
        }
        Ok(())
    }

    /// Whether KVM may write into the guest's memory by itself: a page of its clock, of stolen time.
    fn hypervisor_writes(&mut self) -> bool {
        /// MSRs that name such a page; bit 0 turns it on: KVM's clock (old and new), asynchronous page
        /// faults, stolen time, EOI (Linux, Documentation/virt/kvm/x86/msr.rst), Hyper-V's reference
        /// TSC page (TLFS 12.6).
        const PAGES: [u32; 6] =
            [0x12, 0x4b56_4d01, 0x4b56_4d02, 0x4b56_4d03, 0x4b56_4d04, 0x4000_0021];
        // A register that KVM doesn't have names no page.
        let is_on = |cpu: &mut KvmCpu, msr| cpu.msr(msr).is_ok_and(|value| value & 1 != 0);
        self.seats.iter_mut().any(|seat| PAGES.iter().any(|msr| is_on(&mut seat.cpu, *msr)))
    }
}

impl State {
    /// Whether a vCPU in this state stands before the same as in the other, waiting or not.
    fn stands_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ready | Self::Spinning, Self::Ready | Self::Spinning) => true,
            (Self::Access(one) | Self::Waiting(one), Self::Access(two) | Self::Waiting(two)) => {
                one == two
            }
            _ => false,
        }
    }
}
