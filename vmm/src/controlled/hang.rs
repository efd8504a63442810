//! Proves hangs.
//!
//! When every vCPU waits, sleeps or was never started, and no timer is armed, each waiting vCPU
//! executes two rounds of its loop. The hang is proven if the whole machine (registers, extended
//! state and every written page) is the same after the second round as after the first, and the
//! effect of every instruction of the loops is a function of the compared state
//! (`repeatable.rs`): the machine can then never do anything else. A vCPU in an endless loop
//! without scheduling points takes no part: `endless.rs` has shown that it changes nothing.
//! `docs/proof.md` has the argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ControlledMachine;
use super::repeatable;
use super::single;
use super::vcpu_context::State;
use crate::choice::Choice;
use crate::cpu::Cpu;
use crate::end::End;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::instruction::Decoded;
use crate::kvm::{CpuState, KvmCpu};
use crate::memory::PAGE_SIZE;
use crate::registers::{Registers, SystemRegisters};

/// The result of an attempt to prove a hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The machine can never do anything else.
    Hang,
    /// There is no proof: a vCPU is ready again.
    GoesOn,
    /// The run ended during a round.
    Ended(End),
}

/// The state of a proof while the loops are executed: each instruction is checked before it is
/// executed.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The first instruction that is not allowed in a proof.
    outside: Option<String>,
    /// Whether an instruction changes extended state of a vCPU.
    extended: bool,
    /// The instruction that is executed next, and its target if it branches.
    next: Option<(Arc<Decoded>, Option<u64>)>,
}

/// The state that must repeat: the registers of all vCPUs, and the pages that a round writes.
#[derive(PartialEq)]
struct MachineState {
    registers: Vec<(Registers, SystemRegisters)>,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// The result of one round.
enum Iteration {
    Repeats(MachineState),
    Other(Proof),
}

impl Rounds {
    /// Checks the instruction that a vCPU is about to execute.
    pub(super) fn look_at(&mut self, decoded: Option<&Decoded>) {
        if self.outside.is_none() {
            self.outside = repeatable::outside(decoded);
        }
        self.extended |= decoded.is_none_or(|decoded| decoded.extended);
    }
}

impl ControlledMachine {
    /// Lets the waiting vCPUs execute two rounds of their loops, and compares.
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
        // The rounds may have changed memory that an endless loop reads.
        if proof == Proof::Hang && self.look_at_endless_loops()? {
            proof = Proof::GoesOn;
        }
        if proof == Proof::GoesOn {
            // These vCPUs only appeared to wait. The hang budget (`hang_budget.rs`) limits them; no
            // proof is attempted for them again before something changes.
            let progress = self.progress.count();
            for ctx in &mut self.vcpus {
                if ctx.state.waits() {
                    ctx.unproven = Some(progress);
                }
                ctx.wake();
            }
        }
        Ok(proof)
    }

    fn two_rounds(&mut self) -> Result<Proof> {
        let first = match self.run_loops_once()? {
            Iteration::Repeats(machine_state) => machine_state,
            Iteration::Other(proof) => return Ok(proof),
        };
        // The first round has executed every instruction of the loops.
        let extended = self.rounds.as_ref().is_some_and(|rounds| rounds.extended);
        let before = if extended { self.extended_states()? } else { Vec::new() };
        let second = match self.run_loops_once()? {
            Iteration::Repeats(machine_state) => machine_state,
            Iteration::Other(proof) => return Ok(proof),
        };
        let mut same = first == second;
        for (ctx, state) in self.vcpus.iter_mut().zip(&before) {
            same = same && state.extended_state_is_same(&mut ctx.cpu)?;
        }
        Ok(if same { Proof::Hang } else { Proof::GoesOn })
    }

    /// The extended state of all vCPUs: FPU, vector and debug registers, and MSRs.
    fn extended_states(&mut self) -> Result<Vec<CpuState>> {
        let Self { vcpus, tracking, .. } = self;
        vcpus.iter_mut().map(|ctx| ctx.cpu.save(tracking.msrs())).collect()
    }

    /// Lets every waiting vCPU execute one round of its loop.
    fn run_loops_once(&mut self) -> Result<Iteration> {
        for vcpu in 0..self.vcpus.len() as u32 {
            if self.vcpus[vcpu as usize].state.waits()
                && let Some(other) = self.run_loop_once(vcpu)?
            {
                return Ok(Iteration::Other(other));
            }
        }
        let mut machine_state = MachineState { registers: Vec::new(), pages: BTreeMap::new() };
        for ctx in &mut self.vcpus {
            machine_state.registers.push((ctx.cpu.registers()?, ctx.cpu.system_registers()?));
        }
        let mut written = Vec::new();
        self.take_dirty(|address| written.push(address))?;
        for address in written {
            let mut page = vec![0; PAGE_SIZE as usize];
            self.memory.read(address, &mut page)?;
            machine_state.pages.insert(address, page);
        }
        Ok(Iteration::Repeats(machine_state))
    }

    /// Runs one vCPU until it is at the same place with the same registers; then the result is
    /// `None`, and the tracker holds what the loop has read.
    fn run_loop_once(&mut self, vcpu: u32) -> Result<Option<Proof>> {
        let ctx = &mut self.vcpus[vcpu as usize];
        let (start, state) = (ctx.cpu.registers()?, ctx.state.clone());
        ctx.tracker.clear();
        let progress = self.progress.count();
        for _ in 0..self.granularity.longest_round() {
            if let Some(ending) = self.take(Choice::Step(vcpu))? {
                return Ok(Some(Proof::Ended(ending)));
            }
            if self.progress.count() != progress {
                return Ok(Some(Proof::GoesOn));
            }
            let ctx = &mut self.vcpus[vcpu as usize];
            if ctx.state.is_like(&state) && ctx.cpu.registers()? == start {
                ctx.state = state;
                return Ok(None);
            }
        }
        // A round that is too long to be compared counts as one that doesn't repeat.
        Ok(Some(Proof::GoesOn))
    }

    /// During a proof: completes the latest access, and checks the next instruction. `Some` if
    /// another exit came first.
    pub(super) fn look_ahead(&mut self, vcpu: u32, entry: &mut Entry) -> Result<Option<Exit>> {
        if self.rounds.is_none() {
            return Ok(None);
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        let answer = std::mem::replace(entry, Entry::Resume);
        match ctx.breakpoints.finish_access(&mut ctx.cpu, &self.memory, answer, true)? {
            None | Some(Exit::Debug { .. }) => {}
            Some(exit) => return Ok(Some(exit)),
        }
        loop {
            if !self.can_step(vcpu)?
                && let Some(rounds) = &mut self.rounds
            {
                rounds.outside.get_or_insert("an instruction in ring 3".into());
                return Ok(None);
            }
            let cpu = &mut self.vcpus[vcpu as usize].cpu;
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

    /// During a proof: checks that the single step that has just ended executed exactly the
    /// instruction that was checked.
    pub(super) fn look_back(&mut self, vcpu: u32) -> Result<()> {
        let rip = self.vcpus[vcpu as usize].cpu.registers()?.rip;
        if let Some(rounds) = &mut self.rounds
            && let Some((decoded, target)) = rounds.next.take()
            && !single::leads_to(&decoded, target, rip)
        {
            rounds.outside.get_or_insert("an instruction that can't be stepped".into());
        }
        Ok(())
    }

    /// Whether KVM may write to a page of the guest by itself, for example for its clock or stolen
    /// time.
    fn hypervisor_writes(&mut self) -> bool {
        /// The MSRs that name such a page; bit 0 enables it: KVM's clock (old and new),
        /// asynchronous page faults, stolen time, EOI (Linux, Documentation/virt/kvm/x86/msr.rst),
        /// and Hyper-V's reference TSC page (TLFS 12.6).
        const PAGES: [u32; 6] =
            [0x12, 0x4b56_4d01, 0x4b56_4d02, 0x4b56_4d03, 0x4b56_4d04, 0x4000_0021];
        // A register that KVM doesn't have names no page.
        let is_on = |cpu: &mut KvmCpu, msr| cpu.msr(msr).is_ok_and(|value| value & 1 != 0);
        self.vcpus.iter_mut().any(|ctx| PAGES.iter().any(|msr| is_on(&mut ctx.cpu, *msr)))
    }
}

impl State {
    /// Whether vCPUs in these two states are stopped before the same access, waiting or not.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ready | Self::Spinning, Self::Ready | Self::Spinning) => true,
            (Self::Access(one) | Self::Waiting(one), Self::Access(two) | Self::Waiting(two)) => {
                one == two
            }
            _ => false,
        }
    }
}
