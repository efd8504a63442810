//! The parallel scheduler: a host thread for every vCPU, KVM's irqchip, and real time. Runs are
//! fast and realistic, but not repeatable.
//!
//! The calling thread supervises the run (`supervisor`), each vCPU's thread executes one run loop
//! (`vcpu`), and all threads share one small structure (`control`).

mod added_watches;
mod barrier;
mod console_use;
mod control;
mod debug_stops;
mod debugger;
mod debugging;
mod deferred;
mod disk;
mod found_hang;
mod hook_actions;
mod input;
mod listen;
mod outcome;
mod pauses;
mod remote;
mod status;
mod supervisor;
mod trapping;
mod vcpu;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub use console_use::ConsoleUse;
pub use debugger::Debugger;
pub use debugging::{Event, Refused, Why};
pub use outcome::{ExitCounts, Outcome, VcpuReport, VcpuState};
pub use remote::{NotRunning, Remote};
pub use status::{RunStatus, Standstill, Stopped};

use crate::breakpoints::{self, Breakpoints, Code, Gate, Halts, Int3s};
use crate::disk::DiskFaults;
use crate::doctor;
use crate::end::End;
use crate::error::{Error, Result};
use crate::hook::{Attach, HookSet, Points};
use crate::kvm::{DebugCapabilities, KvmCpu, MsrExits};
use crate::machine::Machine;
use crate::signals::Signals;
use crate::virtio::Served;
use crate::watchpoints::Watching;
use control::Control;
use debugging::Means;
use supervisor::Wards;
use trapping::Trapping;
use vcpu::{Devices, VcpuContext, VcpuLoop};

/// The destination of a run's output, as far as the run depends on it: no vCPU may block on a slow
/// reader while it holds a device's lock.
pub trait Outlet: Sync {
    /// Whether a vCPU that has printed is to wait before it continues.
    fn is_full(&self) -> bool;

    /// Called when the run was ended from outside: the outlet must no longer block threads that
    /// print.
    fn cut_short(&self);
}

/// Sees what the user types before the guest does.
pub trait Keys {
    /// Returns the bytes for the guest, of those that were typed. `unread` says whether the guest
    /// has left earlier bytes unread. The supervisor calls this, so it must not wait.
    fn pass(&self, typed: &[u8], unread: bool) -> Vec<u8>;
}

/// The options of a run.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Ends the run as hung after this long without activity of the guest.
    pub watchdog: Option<Duration>,
    /// Ends the run after this long, in any case.
    pub timeout: Option<Duration>,
    /// Ends the run, or continues a suspended run, when one of these signals arrives.
    pub signals: Option<&'a Signals>,
    /// Whether standard input goes to the guest's console.
    pub console_input: bool,
    /// What sees the console's input first, if the user types it at a terminal in raw mode.
    pub keys: Option<&'a dyn Keys>,
    /// The destination of the output, if it can fill up.
    pub outlet: Option<&'a dyn Outlet>,
    /// Is connected with this run, so that other threads can control it.
    pub remote: Option<&'a Remote>,
    /// Starts the run for a [`Debugger`]: it stands still before the first instruction until that
    /// lets it go on.
    pub debugged: bool,
    /// The faults of the machine's disks.
    pub disk_faults: Option<&'a DiskFaults>,
    /// Called once the watchdog has found a hang, or a kernel that has stopped after its panic. The
    /// run goes on meanwhile, and ends when this returns. It has the verdict whatever the guest
    /// does until then.
    pub on_hang: Option<&'a (dyn Fn(&End) + Sync)>,
}

/// Runs a machine to its end.
pub fn run(machine: Machine, hooks: &[&dyn Attach], options: Options) -> Result<Outcome> {
    let host = machine.host.clone();
    run_stopping(machine, hooks, options, || breakpoints::stopping(&host))
}

/// `stopping` determines this host's debug capabilities; it is called only if breakpoints are
/// needed.
fn run_stopping(
    machine: Machine,
    hooks: &[&dyn Attach],
    options: Options,
    stopping: impl FnOnce() -> Result<DebugCapabilities>,
) -> Result<Outcome> {
    let Machine { cpus, board, served, memory, criteria, places, plan, code, host, mut vm } =
        machine;
    let vcpus = cpus.len() as u32;
    // The criteria come first: when one of them ends the run, the other hooks act on a run that has
    // ended.
    let places = places.as_ref().map(|places| -> &dyn Attach { places });
    let hooks: Vec<_> = places.into_iter().chain(hooks.iter().copied()).collect();
    let attached = |id| HookSet::attach(&hooks, id, vcpus, &memory, plan.watched());
    let hooks = (0..vcpus).map(attached).collect::<Result<Vec<_>>>()?;
    let msrs = MsrExits { chosen: hooks.iter().flat_map(HookSet::msrs).collect(), writes: false };
    if !msrs.chosen.is_empty() {
        msrs.check(&host)?;
        vm.exit_on_msrs(&msrs)?;
    }
    let stops = hooks.iter().any(|hooks| hooks.wants(Points::BREAKPOINT));
    let usable = if stops {
        Some(stopping()?)
    } else if options.debugged {
        // A debugger is of use even where it can't have breakpoints.
        stopping().ok()
    } else {
        None
    };
    // Watchpoints alone need nothing of what these capabilities say.
    let stopping = usable.or_else(|| plan.uses_watchpoints().then(DebugCapabilities::default));
    let control = Arc::new(Control::new(vcpus)?);
    // Data watchpoints are chosen only where the debug registers suffice for the breakpoints, too.
    let int3s = stopping
        .filter(|_| !plan.uses_watchpoints())
        .and_then(|stopping| int3s(stopping, &hooks, code, options.debugged, &control));
    if let Some(int3s) = &int3s {
        vm.protect(int3s.code.pages())?;
        memory.allow_int3();
    }
    if options.debugged {
        control.debugging().enable(Means {
            stopping: usable,
            has_watchpoints: doctor::has_watchpoints(&host),
            int3s: int3s.clone(),
            breakpoints: hooks.iter().flat_map(HookSet::breakpoints).collect(),
            watchpoints: plan.watchpoints().len(),
            memory: memory.clone(),
        });
        control.stop_for_debugger();
    }
    let can_resume = options.signals.is_some();
    // Pages can be trapped later only by who has the remote control.
    let traps = memory.has_trapped_pages() || options.remote.is_some();
    let lock = traps.then(Mutex::default);
    let irqchip = vm.irqchip();
    control.barrier().added().begin(vm);
    let _attached = options.remote.map(|remote| remote.attach(control.clone()));
    let Served { disks, deferred } = served;
    let disks = disk::start(disks, options.disk_faults)?;
    let reports = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (id, (cpu, hooks)) in (0..).zip(cpus.into_iter().zip(hooks)) {
            let ctx = VcpuContext::new(id, vcpus, cpu, memory.clone());
            let watchpoints =
                plan.uses_watchpoints().then(|| Watching::new(plan.watchpoints(), vcpus));
            let mut breakpoints = stopping.map(|stopping| {
                Breakpoints::new(stopping, Halts::InKernel)
                    .watching(watchpoints.iter().flat_map(Watching::breakpoints))
            });
            if let (Some(breakpoints), Some(int3s)) = (&mut breakpoints, &int3s) {
                breakpoints.use_int3s(id, int3s.clone());
            }
            let trapping = lock.as_ref().map(Trapping::new);
            let devices = Devices { board: &board, controller: Box::new(irqchip.clone()) };
            let control = &*control;
            let spawned =
                thread::Builder::new().name(format!("vcpu{id}")).spawn_scoped(scope, move || {
                    VcpuLoop::new(ctx, hooks, breakpoints, trapping, devices, control)
                        .watching(watchpoints)
                        .resumable(can_resume)
                        .printing_to(options.outlet)
                        .run(KvmCpu::bind_to_thread)
                });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(source) => {
                    let what = "a vCPU's thread can't be started: use fewer --cpus";
                    control.fail(Error::System { what, source });
                    break;
                }
            }
        }
        if let Some(on_hang) = options.on_hang {
            let control = &*control;
            scope.spawn(move || control.examine_hang(on_hang));
        }
        let wards =
            Wards { board: &board, disks: &disks, deferred: &deferred, irqchip: irqchip.clone() };
        if let Err(error) = supervisor::watch(&control, wards, &criteria, options) {
            control.fail(error);
        }
        if let Some(outlet) = options.outlet.filter(|_| control.is_cut_short()) {
            outlet.cut_short();
        }
        // A thread that panicked has no report; the guard in its loop has ended the run.
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    disk::close(disks, options.disk_faults);
    board.warn_of_unused_console();
    drop(board);
    drop((irqchip, control.barrier().added().end()));
    control.outcome(reports, memory)
}

/// The INT3s of a machine, if they are of use for these hooks.
fn int3s(
    stopping: DebugCapabilities,
    hooks: &[HookSet],
    code: Code,
    debugged: bool,
    control: &Control,
) -> Option<Arc<Int3s>> {
    let many = |hooks: &HookSet| hooks.breakpoints().count() > stopping.breakpoint_slots();
    // A single vCPU can begin to use them at any time.
    let is_single = hooks.len() == 1;
    let useful = stopping.int3 && !code.pages().is_empty();
    let gate = if is_single { Gate::default() } else { Gate::kicking(control.kick()) };
    (useful && (debugged || is_single || hooks.iter().any(many)))
        .then(|| Arc::new(Int3s { code, gate }))
}

#[cfg(test)]
#[path = "breakpoints_tests.rs"]
mod breakpoints_tests;

#[cfg(test)]
#[path = "hook_actions_tests.rs"]
mod hook_actions_tests;

#[cfg(test)]
#[path = "trapping_tests.rs"]
mod trapping_tests;
