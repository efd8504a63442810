//! Performs the actions that hooks request, on the vCPU's own thread.

use std::mem::{replace, take};
use std::time::Duration;

use super::vcpu::VcpuLoop;
use crate::cpu::Debuggable;
use crate::end::End;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::registers::Activity;

impl<C: Debuggable> VcpuLoop<'_, C> {
    /// Performs the requested actions, and holds the vCPU for as long as they and `hold` say.
    pub(super) fn apply_actions(&mut self, hold: Duration) -> Result<()> {
        let hold = hold.saturating_add(self.intervene()?);
        self.hold(hold)
    }

    /// Performs the requested actions, except for the hold, whose length it returns.
    pub(super) fn intervene(&mut self) -> Result<Duration> {
        if self.ctx.actions.is_empty() {
            return Ok(Duration::ZERO);
        }
        let wanted = take(&mut self.ctx.actions);
        let vcpu = self.ctx.id;
        self.registers.extend(wanted.registers);
        if wanted.nmis != 0 {
            self.control.send_nmis(wanted.nmis);
            self.take_nmi()?;
        }
        for (fault, injection) in wanted.injections {
            let done = self.ctx.cpu.inject(vcpu, injection)?;
            let now = self.control.now();
            self.hooks.injected(&mut self.ctx.context(now), fault, done);
        }
        let (wakes, own) = (wanted.wakes | take(&mut self.ctx.actions.wakes), 1 << vcpu);
        self.control.wake(wakes & !own);
        if wakes & own != 0 {
            self.set_alarm()?;
        }
        // Dumps come before the end of the run, after which no vCPU arrives at the barrier any
        // more.
        for path in wanted.dumps {
            self.control.want_dump(vcpu, path);
        }
        self.rendezvous()?;
        if wanted.suspend {
            if !self.resumable {
                let problem = "nobody could let the run go on: it takes no signals".into();
                let (setting, value) = ("suspension", format!("wanted by vCPU {vcpu}"));
                return Err(Error::Config { setting, value, problem });
            }
            self.control.suspend();
        }
        if let Some(met) = wanted.met {
            self.control.end(End::Met(met));
        }
        if let Some(code) = wanted.stop {
            self.control.end(End::Stopped { vcpu, code });
        }
        Ok(wanted.hold)
    }

    /// Queues the NMI that was sent to this vCPU. A vCPU that waits for its SIPI takes no NMI, and
    /// KVM would end its wait if one were queued.
    pub(super) fn take_nmi(&mut self) -> Result<()> {
        let sent = self.control.take_nmi(self.ctx.id);
        if sent && self.ctx.cpu.activity()? != Activity::WaitForSipi {
            self.ctx.cpu.nmi()?;
        }
        Ok(())
    }

    /// Arrives at the barrier if it was called.
    pub(super) fn rendezvous(&mut self) -> Result<()> {
        self.take_debugger_registers();
        if !self.control.barrier().is_called() {
            return Ok(());
        }
        let mut state = self.state()?;
        for (register, value) in &self.registers {
            state.registers.set(*register, *value);
        }
        let control = self.control;
        let barrier = control.barrier();
        barrier.rendezvous(self.ctx.id, &state, &self.ctx.memory, || control.is_over())?;
        self.take_watches();
        Ok(())
    }

    /// Takes over what has been watched since the last call.
    fn take_watches(&mut self) {
        let added = self.control.barrier().added();
        let changes = added.changes();
        if self.watch_changes == changes {
            return;
        }
        self.watch_changes = changes;
        self.hooks.set_added(added.list());
        if let Some(trapping) = &mut self.trapping {
            trapping.forget();
        }
    }

    /// Sets the registers that hooks and the debugger have changed: a debugger may let the vCPU go
    /// on before `rendezvous` has seen its changes. The access that the vCPU has begun is completed
    /// first, with the old registers. `Some` if this leads to another exit: the registers are then
    /// set later.
    pub(super) fn set_registers(&mut self, entry: &mut Entry) -> Result<Option<Exit>> {
        self.take_debugger_registers();
        if self.registers.is_empty() {
            return Ok(None);
        }
        loop {
            match self.ctx.cpu.finish_access(replace(entry, Entry::Resume))? {
                None => break,
                // The end of a single step.
                Some(Exit::Debug { .. }) => {}
                Some(exit) => return Ok(Some(exit)),
            }
        }
        let mut registers = self.ctx.cpu.registers()?;
        for (register, value) in self.registers.drain(..) {
            registers.set(register, value);
        }
        self.ctx.cpu.set_registers(&registers)?;
        Ok(None)
    }
}
