//! The parallel driver: a host thread for every vCPU, KVM's irqchip, real time. Fast and real, and
//! not repeatable.
//!
//! The calling thread watches (`supervisor`), each vCPU's thread runs one loop (`vcpu`), and both
//! sides meet in one small shared structure (`control`).

mod control;
mod input;
mod outcome;
mod supervisor;
mod vcpu;

use std::thread;
use std::time::Duration;

pub use outcome::{End, ExitCounts, Outcome, VcpuReport, VcpuState};

use crate::error::{Error, Result};
use crate::hook::{Attach, HookSet};
use crate::interrupts::Interrupts;
use crate::kvm::KvmCpu;
use crate::machine::Machine;
use control::Control;
use vcpu::{Seat, VcpuLoop};

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Ends the run as hung after this long without a sign of life.
    pub watchdog: Option<Duration>,
    /// Ends the run after this long, whatever it does.
    pub timeout: Option<Duration>,
    /// Ends the run when one of these signals comes.
    pub interrupts: Option<&'a Interrupts>,
    /// Whether standard input goes to the guest's console.
    pub console_input: bool,
}

/// Runs a machine to its end.
pub fn run(machine: Machine, hooks: &[&dyn Attach], options: Options) -> Result<Outcome> {
    let Machine { cpus, board, memory, vm } = machine;
    let vcpus = cpus.len() as u32;
    let control = Control::new(vcpus)?;
    let reports = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (id, cpu) in (0..).zip(cpus) {
            let seat = Seat::new(id, vcpus, cpu, memory.clone());
            let hooks = HookSet::new(hooks.iter().map(|hook| hook.attach(id, vcpus)));
            let (board, control) = (&board, &control);
            let spawned =
                thread::Builder::new().name(format!("vcpu{id}")).spawn_scoped(scope, move || {
                    VcpuLoop::new(seat, hooks, board, control).run(KvmCpu::bind_to_thread)
                });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(source) => {
                    let what = "a vCPU's thread can't be started: use fewer --cpus";
                    control.end(End::Broken(Error::System { what, source }));
                    break;
                }
            }
        }
        if let Err(error) = supervisor::watch(&control, &board, options) {
            control.end(End::Broken(error));
        }
        // A thread that panicked has no report; the guard in its loop has ended the run.
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    drop(board);
    drop(vm);
    control.into_outcome(reports, memory)
}
