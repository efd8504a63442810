//! What a vCPU's thread does for a debugger.

use std::mem::replace;
use std::time::Duration;

use super::debugging::{View, Why};
use super::vcpu::VcpuLoop;
use crate::breakpoints::{Raised, Stop, Want};
use crate::cpu::Debuggable;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::registers::Activity;

/// How a step goes on.
enum Step {
    /// The vCPU is to execute an instruction.
    Make,
    /// This exit comes first. The step is still to be made.
    Exit(Exit),
    /// It is made, or can't be.
    End(Why),
}

impl<C: Debuggable> VcpuLoop<'_, C> {
    /// Takes over what the debugger has changed.
    fn look_at_debugger(&mut self) {
        let changed = self.control.debugging().changed(self.debugged.changes);
        if let (Some((changes, breakpoints, watchpoints)), Some(own)) =
            (changed, &mut self.breakpoints)
        {
            own.watch_also(&watchpoints);
            self.debugged = View { changes, breakpoints, watchpoints };
        }
    }

    /// Runs to the next exit or stop. `None` if the vCPU has stopped, which has been reported.
    pub(super) fn run_to_stop(&mut self, entry: Entry) -> Result<Option<Exit>> {
        let mut entry = entry;
        let step = match self.control.debugging().step_from(self.ctx.id) {
            None => false,
            Some(shown) => match self.begin_step(shown, &mut entry)? {
                Step::Make => true,
                Step::Exit(exit) => return Ok(Some(exit)),
                Step::End(why) => return self.stop_all(why).map(|()| None),
            },
        };
        self.look_at_debugger();
        let Some(breakpoints) = &mut self.breakpoints else { return Ok(None) };
        let addresses = self.hooks.breakpoints();
        breakpoints.want(addresses.chain(self.debugged.breakpoints.iter().copied()));
        let want = Want { step, holds_interrupts: step, interrupt: None };
        match breakpoints.run(&mut self.ctx.cpu, &self.ctx.memory, entry, want)? {
            Stop::Exit(Exit::Debug { .. }) if step => self.stop_all(Why::Step)?,
            Stop::Exit(exit) => return Ok(Some(exit)),
            // The vCPU has reached an instruction, so it has been started.
            Stop::Breakpoint(address) => {
                self.ctx.started = true;
                let now = self.control.now();
                let hold = self.hooks.breakpoint(&mut self.ctx.context(now), address);
                // The debugger is told first: while the vCPU is held, it may leave or go on.
                if self.debugged.breakpoints.contains(&address) {
                    self.control.stopped_for_debugger(self.ctx.id, Why::Breakpoint(address));
                }
                self.apply_actions(hold)?;
            }
            Stop::Watchpoints(hits) => {
                self.ctx.started = true;
                let hooks = self.watchpoints.as_ref().map_or(0, |own| own.breakpoints().count());
                let of_hooks = hits & ((1 << hooks) - 1);
                let first = (hits & !of_hooks).trailing_zeros() as usize;
                let touched = first.checked_sub(hooks);
                if let Some(touched) = touched.and_then(|at| self.debugged.watchpoints.get(at)) {
                    self.control.stopped_for_debugger(self.ctx.id, Why::Watchpoint(*touched));
                }
                if of_hooks != 0 {
                    self.report_accesses(of_hooks)?;
                }
                self.hold(Duration::ZERO)?;
            }
        }
        Ok(None)
    }

    /// Completes the access of the latest exit, which is the step if the debugger has seen the vCPU
    /// before it.
    fn begin_step(&mut self, shown: u64, entry: &mut Entry) -> Result<Step> {
        let Some(breakpoints) = &mut self.breakpoints else { return Ok(Step::End(Why::Asleep)) };
        let (cpu, memory) = (&mut self.ctx.cpu, &self.ctx.memory);
        match breakpoints.finish_access(cpu, memory, replace(entry, Entry::Resume), true)? {
            None | Some(Exit::Debug { .. }) => {}
            Some(exit) => return Ok(Step::Exit(exit)),
        }
        if cpu.registers()?.rip != shown {
            return Ok(Step::End(Why::Step));
        }
        if cpu.activity()? != Activity::Running {
            return Ok(Step::End(Why::Asleep));
        }
        if let Some(Raised { vector, handler }) = breakpoints.raises(cpu, memory)? {
            return Ok(Step::End(Why::Raises { vector, handler }));
        }
        // A step over HLT would last until an interrupt comes.
        let halts = breakpoints.halt(cpu, memory)?;
        Ok(if halts { Step::End(Why::Step) } else { Step::Make })
    }

    /// Stops all vCPUs for the debugger, and stays out of the guest until it goes on. Does nothing
    /// if the debugger no longer waits for this.
    fn stop_all(&mut self, why: Why) -> Result<()> {
        self.control.stopped_for_debugger(self.ctx.id, why);
        self.hold(Duration::ZERO)
    }

    /// Takes the register values that the debugger has set, for the vCPU's next instruction.
    pub(super) fn take_debugger_registers(&mut self) {
        if self.control.debugging().means().is_some() {
            self.registers.extend(self.control.debugging().take_registers(self.ctx.id));
        }
    }
}
