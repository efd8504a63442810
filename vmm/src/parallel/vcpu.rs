//! One vCPU's thread: it runs the vCPU, reports exits to hooks, answers the exits, and runs on.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use devices::device::{InterruptController, Wiring};

use super::Outlet;
use super::console_use::ConsoleUse;
use super::control::{Control, broken_thread};
use super::debugging::View;
use super::outcome::{ExitCounts, VcpuReport, VcpuState};
use super::trapping::Trapping;
use crate::board::{Board, IoResult};
use crate::breakpoints::Breakpoints;
use crate::cpu::{Cpu, Debuggable};
use crate::end::End;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::hook::{Context, FOR_GOOD, HookActions, HookSet, Points};
use crate::kvm::kick::Alarm;
use crate::kvm::seccomp;
use crate::memory::Memory;
use crate::msr;
use crate::registers::{Activity, Register, Registers};
use crate::thread_time::thread_time;
use crate::watchdog::Sample;
use crate::watchpoints::{WatchReport, Watching};

/// The maximum time that a suspended vCPU sleeps before it checks whether the run has been resumed.
const SUSPEND_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The interval at which a vCPU that has to wait for its output checks whether the output has been
/// read.
const ROOM_POLL: Duration = Duration::from_millis(5);

/// A vCPU context: a vCPU with what its hooks see.
pub(super) struct VcpuContext<C> {
    pub(super) id: u32,
    vcpus: u32,
    pub(super) cpu: C,
    pub(super) memory: Arc<Memory>,
    pub(super) started: bool,
    held: bool,
    /// Whether it is held until the run ends.
    held_for_good: bool,
    pub(super) actions: HookActions,
}

impl<C: Cpu> VcpuContext<C> {
    pub(super) fn new(id: u32, vcpus: u32, cpu: C, memory: Arc<Memory>) -> Self {
        let actions = HookActions::default();
        let (started, held, held_for_good) = (id == 0, false, false);
        Self { id, vcpus, cpu, memory, started, held, held_for_good, actions }
    }

    pub(super) fn context(&mut self, now: Duration) -> Context<'_> {
        Context {
            vcpu: self.id,
            vcpus: self.vcpus,
            cpu: &mut self.cpu,
            memory: &self.memory,
            now,
            point: None,
            started: self.started,
            held: self.held,
            actions: Some(&mut self.actions),
        }
    }

    /// Records whether an AP has been started. KVM handles the SIPI itself and doesn't report it.
    fn notice_start(&mut self) -> Result<()> {
        self.started = self.started || self.cpu.activity()? != Activity::WaitForSipi;
        Ok(())
    }
}

/// The devices, as a vCPU's thread reaches them.
pub(super) struct Devices<'a> {
    pub(super) board: &'a Board,
    pub(super) controller: Box<dyn InterruptController + Send>,
}

/// The run loop of a vCPU, until the run is over.
pub(super) struct VcpuLoop<'a, C> {
    pub(super) ctx: VcpuContext<C>,
    pub(super) hooks: HookSet,
    /// `None` if neither a hook nor a debugger can ask for breakpoints.
    pub(super) breakpoints: Option<Breakpoints>,
    /// `None` if no memory is trapped, and none will be.
    pub(super) trapping: Option<Trapping<'a>>,
    /// How often the list of added watches had changed when it was taken over.
    pub(super) watch_changes: u64,
    /// `None` if no data is watched by watchpoints.
    pub(super) watchpoints: Option<Watching>,
    /// The debugger's breakpoints and watchpoints.
    pub(super) debugged: View,
    /// How often the vCPU exited because of trapped memory.
    trapped_exits: u64,
    /// An exit that has occurred and has not been handled.
    pub(super) next: Option<Exit>,
    /// The register values that hooks have set, for the time before the vCPU's next instruction.
    pub(super) registers: Vec<(Register, u64)>,
    /// Whether a suspended run can be resumed.
    pub(super) resumable: bool,
    /// The destination of its output, if that can fill up.
    outlet: Option<&'a dyn Outlet>,
    devices: Devices<'a>,
    pub(super) control: &'a Control,
    alarm: Option<Alarm>,
    exits: ExitCounts,
    console_use: ConsoleUse,
    activity: u64,
}

impl<'a, C: Debuggable> VcpuLoop<'a, C> {
    pub(super) fn new(
        ctx: VcpuContext<C>,
        hooks: HookSet,
        breakpoints: Option<Breakpoints>,
        trapping: Option<Trapping<'a>>,
        devices: Devices<'a>,
        control: &'a Control,
    ) -> Self {
        let exits = ExitCounts::default();
        let (next, alarm, activity) = (None, None, 0);
        let (registers, resumable) = (Vec::new(), false);
        Self {
            ctx,
            hooks,
            breakpoints,
            trapping,
            watch_changes: 0,
            watchpoints: None,
            debugged: View::default(),
            trapped_exits: 0,
            next,
            registers,
            resumable,
            outlet: None,
            devices,
            control,
            alarm,
            exits,
            console_use: ConsoleUse::default(),
            activity,
        }
    }

    /// Sets the data watchpoints.
    pub(super) fn watching(mut self, watchpoints: Option<Watching>) -> Self {
        self.watchpoints = watchpoints;
        self
    }

    /// Sets whether a suspended run can be resumed.
    pub(super) fn resumable(mut self, resumable: bool) -> Self {
        self.resumable = resumable;
        self
    }

    /// Sets the outlet for which the vCPU waits when it has printed.
    pub(super) fn printing_to(mut self, outlet: Option<&'a dyn Outlet>) -> Self {
        self.outlet = outlet;
        self
    }

    /// Runs to the end on the calling thread, to which `bind` first binds the vCPU.
    pub(super) fn run<B>(mut self, bind: impl FnOnce(&C) -> B) -> VcpuReport {
        let control = self.control;
        // However this thread ends, the run has to end with it.
        let _ended = EndOnDrop(control);
        let _bound = bind(&self.ctx.cpu);
        let ctx = seccomp::confine_vcpu().and_then(|()| control.take_vcpu(self.ctx.id));
        match ctx.and_then(|_kicks_reach_us| self.run_guest()) {
            Ok(Some(end)) => control.end(end),
            Ok(None) => {}
            Err(error) => control.fail(error),
        }
        let now = control.now();
        self.hooks.stop(&mut Context { actions: None, ..self.ctx.context(now) });
        let watching = self.watched();
        VcpuReport {
            vcpu: self.ctx.id,
            state: if control.is_success() { None } else { self.state().ok() },
            exits: self.exits,
            console_use: self.console_use,
            processor_time: thread_time(),
            sampled_rips: Vec::new(),
            watching,
            breakpoints: self.breakpoints.map(|b| b.hits()).unwrap_or_default(),
        }
    }

    fn watched(&mut self) -> Option<WatchReport> {
        if let Some(watchpoints) = &self.watchpoints {
            let system = self.ctx.cpu.system_registers().unwrap_or_default();
            return Some(watchpoints.report(&system, &self.ctx.memory));
        }
        let exits = self.trapped_exits;
        self.hooks.watch().then(|| WatchReport { exits, ..WatchReport::default() })
    }

    fn run_guest(&mut self) -> Result<Option<End>> {
        self.begin()?;
        // What was requested before kicks reached this thread.
        self.serve()?;
        let mut entry = Entry::Resume;
        while !self.control.is_over() {
            let exit = self.enter(entry)?;
            self.count(&exit);
            if self.hooks.wants(Points::EXIT) {
                let now = self.control.now();
                let hold = self.hooks.exit(&mut self.ctx.context(now), &exit);
                self.apply_actions(hold)?;
            }
            let console = self.devices.board.is_use_of_console(&exit).then(Instant::now);
            entry = match self.answer(&exit)? {
                IoResult::Enter(entry) => entry,
                IoResult::Mark => Entry::Resume,
                IoResult::End(end) => return Ok(Some(end)),
                IoResult::Unanswered => return Ok(Some(End::unanswered(self.ctx.id, exit))),
            };
            if exit == Exit::Kicked {
                self.serve()?;
            }
            if let Some(begin) = console {
                if let Some(outlet) = self.outlet {
                    self.wait_for_room(outlet)?;
                }
                self.console_use.count(begin);
            }
            if self.hooks.wants(Points::ENTRY) {
                let now = self.control.now();
                self.hooks.entry(&mut self.ctx.context(now), &entry);
                self.apply_actions(Duration::ZERO)?;
            }
        }
        Ok(None)
    }

    fn answer(&mut self, exit: &Exit) -> Result<IoResult> {
        let VcpuContext { cpu, memory, id, .. } = &mut self.ctx;
        let mut wiring = Wiring { clock: self.control, controller: &mut *self.devices.controller };
        let answer = self.devices.board.answer(*id, cpu, exit, &mut wiring)?;
        // Who has called the vCPUs may be about to give a page back: the next kick tells.
        let is_kick = *exit == Exit::Kicked && !self.control.barrier().is_called();
        if let Some(trapping) = &mut self.trapping
            && (answer == IoResult::Unanswered || is_kick)
        {
            trapping.explain(*id, cpu, memory, exit)?;
        }
        Ok(answer)
    }

    /// Runs to the next exit that the guest makes by itself. Exits that happen only because hooks
    /// observe an access don't count: observing must not cause anything else, and a guest that
    /// spins on a watched variable still has to count as hung.
    fn enter(&mut self, entry: Entry) -> Result<Exit> {
        let mut entry = entry;
        loop {
            let exit = self.run_on(entry)?;
            match self.perform(&exit)? {
                Some(next) => entry = next,
                None => return Ok(exit),
            }
            if self.control.is_over() {
                return Ok(Exit::Kicked);
            }
        }
    }

    /// Performs an access to an MSR or to memory that exits because of hooks. `None` for any other
    /// exit.
    fn perform(&mut self, exit: &Exit) -> Result<Option<Entry>> {
        if let Some(access) = msr::begin(&mut self.ctx.cpu, exit)? {
            let now = self.control.now();
            let hold = self.hooks.msr(&mut self.ctx.context(now), &access);
            let fault = self.ctx.actions.msr.take();
            self.apply_actions(hold)?;
            msr::end(&mut self.ctx.cpu, &access, fault)?;
            return Ok(Some(Entry::Resume));
        }
        let Some(trapping) = &mut self.trapping else { return Ok(None) };
        let VcpuContext { cpu, memory, id, .. } = &mut self.ctx;
        let Some(done) = trapping.perform(*id, cpu, memory, exit)? else { return Ok(None) };
        self.trapped_exits += done.accesses.len() as u64;
        self.next = done.next;
        for access in &done.accesses {
            let now = self.control.now();
            let hold = self.hooks.access(&mut self.ctx.context(now), access);
            self.apply_actions(hold)?;
        }
        Ok(Some(done.entry))
    }

    /// Reports the accesses to watched data that the vCPU has just made.
    pub(super) fn report_accesses(&mut self, hits: u8) -> Result<()> {
        let Some(watchpoints) = &mut self.watchpoints else { return Ok(()) };
        let VcpuContext { cpu, memory, .. } = &mut self.ctx;
        for access in watchpoints.accesses(hits, cpu, memory)? {
            let behind = self.ctx.cpu.registers()?;
            // Hooks see RIP where a trapped page would show it: a locked instruction has been
            // finished.
            let rip = if access.locked { behind.rip } else { access.rip };
            let at = Registers { rip, ..behind };
            if at != behind {
                self.ctx.cpu.set_registers(&at)?;
            }
            let now = self.control.now();
            let hold = self.hooks.access(&mut self.ctx.context(now), &access);
            if at != behind {
                self.ctx.cpu.set_registers(&behind)?;
            }
            self.apply_actions(hold)?;
        }
        Ok(())
    }

    /// Runs to the next exit. Breakpoints on the way are reported to the hooks.
    fn run_on(&mut self, entry: Entry) -> Result<Exit> {
        if let Some(exit) = self.next.take() {
            return Ok(exit);
        }
        let mut entry = entry;
        if let Some(exit) = self.set_registers(&mut entry)? {
            return Ok(exit);
        }
        while self.breakpoints.is_some() {
            if let Some(exit) = self.run_to_stop(std::mem::replace(&mut entry, Entry::Resume))? {
                return Ok(exit);
            }
            // Where the vCPU has stopped, no access is incomplete.
            if let Some(exit) = self.set_registers(&mut entry)? {
                return Ok(exit);
            }
            if self.control.is_over() {
                return Ok(Exit::Kicked);
            }
        }
        self.ctx.cpu.run(entry)
    }

    fn begin(&mut self) -> Result<()> {
        let now = self.control.now();
        self.hooks.start(&mut self.ctx.context(now));
        self.apply_actions(Duration::ZERO)?;
        if self.hooks.next_tick().is_some() || self.hooks.wants(Points::TICK) {
            // Without this, a pause of 100 us would become one of 150 us: the default slack of
            // sleeps is 50 us.
            nix::sys::prctl::set_timerslack(1).map_err(|errno| Error::System {
                what: "a thread's timer slack can't be set",
                source: errno.into(),
            })?;
            self.alarm = Some(Alarm::new()?);
        }
        self.set_alarm()
    }

    fn count(&mut self, exit: &Exit) {
        self.exits.count(exit);
        if exit.is_guest_activity() {
            self.activity += 1;
            self.control.set_activity(self.ctx.id, self.activity);
        }
    }

    /// Handles the requests for which the vCPU was kicked.
    fn serve(&mut self) -> Result<()> {
        loop {
            // Repeated after every hold: requests that came during the hold are handled before the
            // guest runs.
            let hold = self.serve_once()?;
            if hold.is_zero() && !self.control.holds(self.ctx.id) || self.control.is_over() {
                return self.set_alarm();
            }
            self.hold(hold)?;
        }
    }

    fn serve_once(&mut self) -> Result<Duration> {
        self.rendezvous()?;
        self.take_nmi()?;
        // A held vCPU can't make progress, so its position is not evidence of a hang, unless it is
        // held for good.
        if (!self.ctx.held || self.ctx.held_for_good)
            && self.control.take_sample_request(self.ctx.id)
        {
            let sample = self.sample()?;
            self.control.put_sample(self.ctx.id, &sample);
        }
        let now = self.control.now();
        if self.hooks.next_tick().is_none_or(|due| due > now) {
            return Ok(Duration::ZERO);
        }
        self.ctx.notice_start()?;
        let hold = self.hooks.tick(&mut self.ctx.context(now));
        Ok(hold.saturating_add(self.intervene()?))
    }

    fn sample(&mut self) -> Result<Sample> {
        if self.ctx.held_for_good {
            // It does as much as a vCPU that was never started.
            let activity = Activity::WaitForSipi;
            return Ok(Sample { rip: 0, activity, at_rest: false, processor: thread_time() });
        }
        let cpu = &mut self.ctx.cpu;
        let (registers, activity) = (cpu.registers()?, cpu.activity()?);
        let sleeps = activity == Activity::Halted;
        let at_rest = sleeps
            && registers.rflags & Registers::INTERRUPT_FLAG != 0
            && !cpu.has_pending_interrupt()?;
        Ok(Sample { rip: registers.rip, activity, at_rest, processor: thread_time() })
    }

    /// Keeps the vCPU out of the guest for this long, and while the run is suspended. Its ticks
    /// continue meanwhile.
    pub(super) fn hold(&mut self, time: Duration) -> Result<()> {
        if time.is_zero() && !self.control.holds(self.ctx.id) {
            return Ok(());
        }
        self.ctx.held = true;
        let mut now = self.control.now();
        let mut until = now.saturating_add(time);
        let mut told = Duration::ZERO;
        while (now < until || self.control.holds(self.ctx.id)) && !self.control.is_over() {
            self.ctx.held_for_good = until >= FOR_GOOD;
            let end =
                if self.control.holds(self.ctx.id) { now + SUSPEND_POLL_INTERVAL } else { until };
            if end > told && self.hooks.wants(Points::HOLD) {
                self.hooks.held(&mut self.ctx.context(now), end.saturating_sub(now));
            }
            told = told.max(end);
            let wake = self.hooks.next_tick().map_or(end, |tick| tick.clamp(now, end.max(now)));
            thread::park_timeout(wake.saturating_sub(now));
            now = self.control.now();
            if now < until || self.control.holds(self.ctx.id) {
                until = until.max(now.saturating_add(self.serve_once()?));
            }
        }
        (self.ctx.held, self.ctx.held_for_good) = (false, false);
        self.set_alarm()
    }

    /// Keeps the vCPU out of the guest until its output has been read. Its ticks continue
    /// meanwhile.
    fn wait_for_room(&mut self, outlet: &dyn Outlet) -> Result<()> {
        let mut hold = Duration::ZERO;
        while outlet.is_full() && !self.control.is_over() {
            self.ctx.held = true;
            let (now, tick) = (self.control.now(), self.hooks.next_tick());
            let tick = tick.map_or(ROOM_POLL, |tick| tick.saturating_sub(now));
            thread::park_timeout(tick.min(ROOM_POLL));
            hold = hold.max(self.serve_once()?);
        }
        if !self.ctx.held {
            return Ok(());
        }
        self.ctx.held = false;
        self.hold(hold)?;
        self.set_alarm()
    }

    pub(super) fn set_alarm(&mut self) -> Result<()> {
        match (&mut self.alarm, self.hooks.next_tick()) {
            (Some(alarm), Some(due)) => alarm.set(due.saturating_sub(self.control.now())),
            _ => Ok(()),
        }
    }

    pub(super) fn state(&mut self) -> Result<VcpuState> {
        let cpu = &mut self.ctx.cpu;
        Ok(VcpuState {
            activity: cpu.activity()?,
            registers: cpu.registers()?,
            system: cpu.system_registers()?,
        })
    }
}

struct EndOnDrop<'a>(&'a Control);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.fail(broken_thread());
        }
    }
}

#[cfg(test)]
#[path = "vcpu_tests.rs"]
mod tests;
