//! What hooks want done to the guest, done by the vCPU's own thread.

use std::mem::{replace, take};
use std::time::Duration;

use super::outcome::End;
use super::vcpu::VcpuLoop;
use crate::cpu::Debuggable;
use crate::error::{Error, Result};
use crate::exit::{Entry, Exit};
use crate::registers::Activity;

impl<C: Debuggable> VcpuLoop<'_, C> {
    /// Does what hooks want done, and holds the vCPU for as long as they want.
    pub(super) fn apply_actions(&mut self, hold: Duration) -> Result<()> {
        let hold = hold.saturating_add(self.intervene()?);
        self.hold(hold)
    }

    /// Does what hooks want done. How long they want the vCPU to be held is left to the caller.
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
        // Before the end of the run, which lets nobody come any more.
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

    /// Queues the NMI that somebody has sent to this vCPU. One that waits for its SIPI takes none, and
    /// with one queued KVM would not let it wait.
    pub(super) fn take_nmi(&mut self) -> Result<()> {
        let sent = self.control.take_nmi(self.ctx.id);
        if sent && self.ctx.cpu.activity()? != Activity::WaitForSipi {
            self.ctx.cpu.nmi()?;
        }
        Ok(())
    }

    /// Comes to where all vCPUs are wanted, if they are.
    pub(super) fn rendezvous(&mut self) -> Result<()> {
        if !self.control.barrier().is_called() {
            return Ok(());
        }
        let mut state = self.state()?;
        for (register, value) in &self.registers {
            state.registers.set(*register, *value);
        }
        let control = self.control;
        let barrier = control.barrier();
        barrier.rendezvous(self.ctx.id, &state, &self.ctx.memory, || control.is_over())
    }

    /// Gives the vCPU the registers that hooks have set. What it has begun is finished first, with the
    /// registers as they were; `Some` if that comes to another exit, and the registers wait.
    pub(super) fn set_registers(&mut self, entry: &mut Entry) -> Result<Option<Exit>> {
        if self.registers.is_empty() {
            return Ok(None);
        }
        loop {
            match self.ctx.cpu.finish_access(replace(entry, Entry::Resume))? {
                None => break,
                // Single steps are on, and this is the end of one.
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
