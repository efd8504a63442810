//! The devices, the interrupt controllers and the clock of a controlled machine.
//!
//! Time is virtual: it advances by a microsecond at each scheduling point, and jumps to the next
//! timer when no vCPU can do anything. Nothing here depends on the host's time.

use devices::apics::{self, Apics, IpiEffect};
use devices::device::{Address, Clock, ForeignState, ReadKind, Wiring};

use crate::board::{Board, BoardState, IoResult};
use crate::boot::mptable::ioapic_id;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::Exit;

/// The virtual time in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct VirtualClock(u64);

impl Clock for VirtualClock {
    fn now(&self) -> u64 {
        self.0
    }
}

/// What a controlled machine has beside its vCPUs and its memory.
pub(super) struct Platform {
    pub(super) apics: Apics,
    board: Board,
    clock: VirtualClock,
}

/// The saved state of a platform.
#[derive(Clone, Debug)]
pub(super) struct PlatformState {
    apics: apics::Saved,
    board: BoardState,
    clock: VirtualClock,
}

impl Platform {
    /// The nanoseconds that pass at a scheduling point.
    const POINT: u64 = 1000;

    pub(super) fn new(vcpus: u32, board: Board) -> Self {
        let apics = Apics::new(vcpus, ioapic_id(vcpus));
        Self { apics, board, clock: VirtualClock::default() }
    }

    /// Whether a device or an interrupt controller has this guest-physical address.
    pub(super) fn has(&self, address: u64) -> bool {
        Apics::covers(address) || self.board.bus().has(Address::Memory(address))
    }

    /// What the answer to an exit depends on.
    pub(super) fn read_kind(&self, exit: &Exit) -> ReadKind {
        match exit {
            Exit::MmioRead { address, .. } if Apics::is_clock(*address) => ReadKind::Clock,
            exit => self.board.read_kind(exit),
        }
    }

    /// Answers an exit of a vCPU.
    pub(super) fn answer(&mut self, vcpu: u32, cpu: &mut dyn Cpu, exit: &Exit) -> Result<IoResult> {
        let mut wiring = Wiring { clock: &self.clock, controller: &mut self.apics };
        self.board.answer(vcpu, cpu, exit, &mut wiring)
    }

    /// Lets the time of one scheduling point pass, and returns the effects on vCPUs.
    pub(super) fn tick(&mut self) -> Vec<IpiEffect> {
        self.advance(self.now() + Self::POINT)
    }

    /// Lets time pass up to this instant, and returns the effects on vCPUs.
    pub(super) fn jump(&mut self, to: u64) -> Vec<IpiEffect> {
        self.advance(to.max(self.now()))
    }

    /// The virtual nanoseconds since the machine started.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// When the next timer fires that has an effect. `None` if there is none: the other timers
    /// would only request an interrupt that is already pending, at every period.
    pub(super) fn next_deadline(&mut self) -> Option<u64> {
        let wiring = Wiring { clock: &self.clock, controller: &mut self.apics };
        let mut deadlines: Vec<_> = self.board.bus().deadlines(&wiring).collect();
        deadlines.extend(self.apics.deadlines());
        deadlines.sort_unstable();
        if deadlines.is_empty() {
            return None;
        }
        // Each deadline is tried, and all that this does is undone.
        let (apics, devices, clock) = (self.apics.save(), self.board.bus().save(), self.clock);
        let next = deadlines.into_iter().find(|deadline| {
            self.run_to((*deadline).max(self.now()));
            self.apics.asks_more_than(&apics)
        });
        self.apics.restore(&apics);
        // The bus has just saved these states.
        let _ = self.board.bus_mut().restore(&devices);
        self.clock = clock;
        next
    }

    /// Saves the state. The effects on vCPUs must have been taken.
    pub(super) fn save(&self) -> PlatformState {
        PlatformState { apics: self.apics.save(), board: self.board.save(), clock: self.clock }
    }

    /// Restores a saved state.
    pub(super) fn restore(&mut self, state: &PlatformState) -> Result<(), ForeignState> {
        self.apics.restore(&state.apics);
        self.clock = state.clock;
        self.board.restore(&state.board)
    }

    fn advance(&mut self, now: u64) -> Vec<IpiEffect> {
        self.run_to(now);
        self.apics.take_effects()
    }

    fn run_to(&mut self, now: u64) {
        self.clock = VirtualClock(now);
        self.apics.advance(now);
        let mut wiring = Wiring { clock: &self.clock, controller: &mut self.apics };
        self.board.bus_mut().advance(&mut wiring);
    }
}

#[cfg(test)]
#[path = "platform_tests.rs"]
mod tests;
