//! Hooks in a controlled machine.
//!
//! Hooks see virtual time (also in the TSC) and are called in the order of the run's choices, so
//! what a hook does is a function of these choices, and a replay calls it in the same way. A
//! snapshot does not contain the state of hooks.

use std::mem::take;
use std::path::PathBuf;
use std::time::Duration;

use super::ControlledMachine;
use super::emulate::MSR_TSC;
use super::granularity::Granularity;
use super::vcpu_context::{State, VcpuContext};
use super::virtual_tsc::WithVirtualTsc;
use crate::breakpoints::{self, Breakpoints, Halts, Hits, Stop, Want};
use crate::choice::Choice;
use crate::cpu::Cpu;
use crate::dump;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::hook::{Access, Attach, Context, HookSet, MsrAccess, Points};
use crate::kvm::DebugCapabilities;
use crate::kvm::MsrExits;
use crate::msr;

impl ControlledMachine {
    /// Attaches hooks to every vCPU, in this order, and calls their `start`. They replace the hooks
    /// that were attached before. Fails if the host lacks what they need.
    pub fn attach(&mut self, hooks: &[&dyn Attach]) -> Result<()> {
        let vcpus = self.vcpus.len() as u32;
        let places = self.places.clone();
        let mut all: Vec<&dyn Attach> = places.iter().map(|places| places as &dyn Attach).collect();
        all.extend(hooks);
        // Without hooks there are no hook sets, and nothing is called.
        let called = if all.is_empty() { 0 } else { vcpus };
        let attached = |vcpu| HookSet::attach(&all, vcpu, vcpus, &self.memory, &[]);
        self.hooks = (0..called).map(attached).collect::<Result<_>>()?;
        self.filter_msrs()?;
        // At instruction granularity the vCPU stops at every instruction anyway.
        let stops = self.granularity == Granularity::Watch
            && self.hooks.iter().any(|hooks| hooks.wants(Points::BREAKPOINT));
        let stopping =
            if stops { breakpoints::stopping(&self.host)? } else { DebugCapabilities::default() };
        for ctx in &mut self.vcpus {
            ctx.breakpoints.disarm(&mut ctx.cpu)?;
            ctx.breakpoints = Breakpoints::new(stopping, Halts::Exit);
        }
        if self.protects_code {
            self.int3s.gate.reset(&self.memory)?;
            self.give_int3s();
        }
        self.at_all(Points::START, HookSet::start);
        Ok(())
    }

    /// Calls the hooks' `stop` and removes all hooks, those of the machine's criteria included.
    /// Attach hooks again before the machine runs further.
    pub fn detach(&mut self) {
        self.at_all(Points::STOP, |hooks, context| {
            context.actions = None;
            hooks.stop(context);
        });
        self.hooks.clear();
        for ctx in &mut self.vcpus {
            ctx.breakpoints.want(std::iter::empty());
        }
    }

    /// Makes the MSRs exit that hooks ask for, in addition to those that restoring snapshots needs.
    fn filter_msrs(&mut self) -> Result<()> {
        let mut chosen: Vec<u32> = self.hooks.iter().flat_map(HookSet::msrs).collect();
        let same = chosen.is_empty() && !self.msrs_chosen;
        self.msrs_chosen = !chosen.is_empty();
        if self.tracking.msr_writes {
            chosen.push(MSR_TSC);
        }
        let exits = MsrExits { writes: self.tracking.msr_writes, chosen };
        exits.check(&self.host)?;
        if same { Ok(()) } else { self.vm.exit_on_msrs(&exits) }
    }

    /// Performs the access to an MSR that an exit reports, and reports it to hooks.
    pub(super) fn access_msr(&mut self, vcpu: u32, exit: &Exit) -> Result<()> {
        self.hook_exit(vcpu, exit);
        let begun = msr::begin(&mut self.vcpus[vcpu as usize].cpu, exit)?;
        let Some(access) = begun else { return Ok(()) };
        self.hook_msr(vcpu, &access);
        let ctx = &mut self.vcpus[vcpu as usize];
        ctx.extended_dirty |= access.write;
        msr::end(&mut ctx.cpu, &access, None)
    }

    /// Reports that a vCPU accesses an MSR.
    pub(super) fn hook_msr(&mut self, vcpu: u32, access: &MsrAccess) {
        let now = Duration::from_nanos(self.platform.now());
        if self.hooks.get(vcpu as usize).is_some_and(|hooks| hooks.msrs().next().is_some()) {
            let time = self.call(vcpu, now, |hooks, context| hooks.msr(context, access));
            self.hold(vcpu, time);
        }
    }

    /// Reports that a vCPU is stopped before the instruction at this linear address (instruction
    /// granularity). Returns whether hooks were called.
    pub(super) fn hook_place(&mut self, vcpu: u32, at: u64, repeats: bool) -> bool {
        let Some(hooks) = self.hooks.get(vcpu as usize) else { return false };
        if !hooks.wants(Points::BREAKPOINT) {
            return false;
        }
        let breakpoints = &mut self.vcpus[vcpu as usize].breakpoints;
        breakpoints.want(hooks.breakpoints());
        let stops = breakpoints.stands_at(at, repeats);
        if stops {
            self.hook_breakpoint(vcpu, at);
        }
        stops
    }

    fn hook_breakpoint(&mut self, vcpu: u32, at: u64) {
        let call = |hooks: &mut HookSet, context: &mut Context| hooks.breakpoint(context, at);
        if let Some(time) = self.at(vcpu, Points::BREAKPOINT, call) {
            self.hold(vcpu, time);
        }
    }

    /// How often a vCPU reached each of the hooks' breakpoints since the hooks were attached.
    pub fn hits(&self, vcpu: u32) -> Vec<Hits> {
        self.vcpus[vcpu as usize].breakpoints.hits()
    }

    /// Runs a vCPU to its next exit. Breakpoints on the way are reported to the hooks.
    pub(super) fn run_on(&mut self, vcpu: u32, entry: Entry, want: Want) -> Result<Exit> {
        let mut entry = entry;
        loop {
            let ctx = &mut self.vcpus[vcpu as usize];
            if let Some(hooks) = self.hooks.get(vcpu as usize) {
                ctx.breakpoints.want(hooks.breakpoints());
            }
            if ctx.breakpoints.lacks_int3s() {
                self.protect_code()?;
            }
            let ctx = &mut self.vcpus[vcpu as usize];
            let next = std::mem::replace(&mut entry, Entry::Resume);
            let lapic = &mut self.platform.apics.lapics[vcpu as usize];
            ctx.cpu.set_cr8(lapic.cr8());
            let stop = ctx.breakpoints.run(&mut ctx.cpu, &self.memory, next, want)?;
            lapic.follow_cr8(ctx.cpu.cr8());
            match stop {
                Stop::Exit(exit) => return Ok(exit),
                Stop::Breakpoint(address) => self.hook_breakpoint(vcpu, address),
                // There are none: a controlled machine traps pages.
                Stop::Watchpoints(_) => {}
            }
        }
    }

    /// Makes the guest's code read-only, so that it can contain INT3s.
    fn protect_code(&mut self) -> Result<()> {
        // Changing the slots empties KVM's dirty log.
        self.take_dirty(|_| ())?;
        self.vm.protect(self.int3s.code.pages())?;
        self.protects_code = true;
        self.give_int3s();
        Ok(())
    }

    fn give_int3s(&mut self) {
        for (vcpu, ctx) in (0..).zip(&mut self.vcpus) {
            ctx.breakpoints.use_int3s(vcpu, self.int3s.clone());
        }
    }

    /// Reports a choice.
    pub(super) fn hook_choice(&mut self, choice: Choice) {
        self.at(choice.vcpu(), Points::CHOICE, |hooks, context| hooks.choice(context, choice));
    }

    /// Reports an exit whose turn has come.
    pub(super) fn hook_exit(&mut self, vcpu: u32, exit: &Exit) {
        let held = self.at(vcpu, Points::EXIT, |hooks, context| hooks.exit(context, exit));
        if let Some(time) = held {
            self.hold(vcpu, time);
        }
    }

    /// Reports that a vCPU continues with this answer.
    pub(super) fn hook_entry(&mut self, vcpu: u32, entry: &Entry) {
        self.at(vcpu, Points::ENTRY, |hooks, context| hooks.entry(context, entry));
    }

    /// Reports that a vCPU has loaded from or stored to watched memory.
    pub(super) fn hook_access(&mut self, vcpu: u32, access: &Access) {
        if self.hooks.get(vcpu as usize).is_some_and(HookSet::watch) {
            let now = Duration::from_nanos(self.platform.now());
            let time = self.call(vcpu, now, |hooks, context| hooks.access(context, access));
            self.hold(vcpu, time);
        }
    }

    /// Reports a hang of the machine.
    pub(super) fn hook_hang(&mut self, proven: bool) {
        self.at_all(Points::HANG, |hooks, context| hooks.hang(context, proven));
    }

    /// Calls the ticks that have become due. A hook whose ticks were skipped by a jump of time is
    /// called once and has to count them itself: a jump of a day, in steps of 50 us, would never
    /// end.
    pub(super) fn hook_ticks(&mut self) {
        for vcpu in 0..self.hooks.len() as u32 {
            let now = Duration::from_nanos(self.platform.now());
            if self.hooks[vcpu as usize].next_tick().is_some_and(|due| due <= now) {
                let time = self.call(vcpu, now, HookSet::tick);
                self.hold(vcpu, time);
            }
        }
    }

    /// When the first vCPU that a hook holds may continue, in virtual nanoseconds; `None` if no
    /// vCPU is held.
    pub(super) fn next_release(&self) -> Option<u64> {
        let now = self.platform.now();
        self.vcpus.iter().map(|ctx| ctx.held_until).filter(|until| *until > now).min()
    }

    pub(super) fn hold(&mut self, vcpu: u32, time: Duration) {
        if time.is_zero() {
            return;
        }
        let until = self.platform.now().saturating_add(time.as_nanos() as u64);
        let ctx = &mut self.vcpus[vcpu as usize];
        ctx.held_until = ctx.held_until.max(until);
        ctx.dirty = true;
        self.at(vcpu, Points::HOLD, |hooks, context| hooks.held(context, time));
    }

    /// Calls a vCPU's hooks if one of them asked for this point.
    fn at<T>(
        &mut self,
        vcpu: u32,
        point: Points,
        call: impl FnOnce(&mut HookSet, &mut Context) -> T,
    ) -> Option<T> {
        let wanted = self.hooks.get(vcpu as usize).is_some_and(|hooks| hooks.wants(point));
        let now = Duration::from_nanos(self.platform.now());
        wanted.then(|| self.call(vcpu, now, call))
    }

    fn at_all(&mut self, point: Points, mut call: impl FnMut(&mut HookSet, &mut Context)) {
        for vcpu in 0..self.hooks.len() as u32 {
            self.at(vcpu, point, &mut call);
        }
    }

    pub(super) fn call<T>(
        &mut self,
        vcpu: u32,
        now: Duration,
        call: impl FnOnce(&mut HookSet, &mut Context) -> T,
    ) -> T {
        let vcpus = self.vcpus.len() as u32;
        let ctx = &mut self.vcpus[vcpu as usize];
        let tsc = self.tsc.at(now.as_nanos() as u64).wrapping_add(ctx.shadow.tsc_offset);
        let mut context = Context {
            vcpu,
            vcpus,
            started: ctx.state != State::WaitForSipi,
            held: ctx.held_until > self.platform.now(),
            cpu: &mut WithVirtualTsc { cpu: &mut ctx.cpu, tsc },
            memory: &self.memory,
            now,
            point: Some(self.points),
            actions: Some(&mut self.actions),
        };
        let result = call(&mut self.hooks[vcpu as usize], &mut context);
        if !self.actions.is_empty()
            && let Err(error) = self.intervene(vcpu)
        {
            self.broken.get_or_insert(error);
        }
        result
    }

    /// Performs the actions that a hook of this vCPU requested, if they leave the run repeatable.
    fn intervene(&mut self, vcpu: u32) -> Result<()> {
        let wanted = take(&mut self.actions);
        if let Some(what) = wanted.unrepeatable() {
            return Err(Error::Unrepeatable { what, point: self.points });
        }
        self.hold(vcpu, wanted.hold);
        if let Some(met) = wanted.met {
            self.met.get_or_insert(met);
        }
        for path in wanted.dumps {
            let state =
                |ctx: &mut VcpuContext| Ok((ctx.cpu.registers()?, ctx.cpu.system_registers()?));
            let vcpus: Vec<_> = self.vcpus.iter_mut().map(state).collect::<Result<_>>()?;
            self.dumps.push(dump::write(&path, &vcpus, vcpu, &self.memory)?);
        }
        Ok(())
    }

    /// The dump files that hooks have had written.
    pub fn dumps(&self) -> &[PathBuf] {
        &self.dumps
    }
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "breakpoints_tests.rs"]
mod breakpoints_tests;

#[cfg(test)]
#[path = "trapping_tests.rs"]
mod trapping_tests;
