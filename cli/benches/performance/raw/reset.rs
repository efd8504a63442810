//! The minimal loop that runs a guest from the same state again and again: what the run has changed
//! is restored by means of the dirty log and the run page, and the vCPU enters the guest again.

use std::io;
use std::path::Path;
use std::time::Duration;

use kvm_bindings::{
    KVM_EXIT_IO, KVM_EXIT_MMIO, KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS,
    kvm_sync_regs,
};

use super::bare::{Bare, SLOTS, Stores};
use super::hidden::Hidden;
use super::mapping::Mapping;
use super::{KVM_RUN, call, dirty_pages, open};
use crate::contest::Busy;
use crate::image::{BASE, END, END_PORT, MARK_PORT, PAGE, Program, SHARED};

/// Which of the vCPU's registers are restored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Registers {
    /// The general registers.
    General,
    /// The general registers, the system registers and pending events: everything in the run page.
    All,
    /// In addition the FPU, MSRs and debug registers, by a call each.
    AllAndHidden,
}

/// A machine in the state from which its guest is run.
pub(crate) struct Resetter {
    machine: Bare,
    registers: Registers,
    saved: kvm_sync_regs,
    hidden: Hidden,
    /// The guest's memory up to [`END`] in that state.
    pages: Mapping,
    log: Vec<u64>,
}

impl Resetter {
    /// Runs the program to its first store to the shared page after its mark.
    pub(crate) fn new(device: &Path, program: &Program, registers: Registers) -> io::Result<Self> {
        let machine = Bare::new(device, program, &[program.entry], Stores::Logged)?;
        let page = machine.vcpus[0].page();
        // SAFETY: this is the mapped run page, which KVM writes to during KVM_RUN only.
        unsafe {
            (*page).kvm_valid_regs =
                u64::from(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS);
        }
        let mut this = Self {
            hidden: Hidden::save(&open(device)?, &machine.vcpus[0].file)?,
            machine,
            registers,
            saved: kvm_sync_regs::default(),
            pages: Mapping::new(None, END as usize)?,
            log: vec![0; (SLOTS[1].end / PAGE / 64) as usize],
        };
        match (this.run()?, this.run()?) {
            (Exit::Port { port: MARK_PORT, .. }, Exit::Store { address: SHARED }) => {}
            (first, second) => return Err(unexpected(&format!("{first:?}, {second:?}"))),
        }
        // SAFETY: the exit has filled this part of the run page.
        this.saved = unsafe { (*page).s.regs };
        // SAFETY: both mappings are at least that long, and the guest doesn't run.
        unsafe {
            this.pages.start().copy_from_nonoverlapping(this.machine.memory.start(), END as usize);
        }
        this.put_back()?;
        Ok(this)
    }

    /// Runs and resets the guest this number of times. Returns how long that took, and how many
    /// pages were restored.
    pub(crate) fn repeat(&mut self, times: u64) -> io::Result<(Duration, u64)> {
        let mut pages = 0;
        let start = Busy::start()?;
        for _ in 0..times {
            self.machine.memory.write(SHARED, &1u32.to_le_bytes())?;
            match self.run()? {
                Exit::Port { port: END_PORT, value: 0 } => {}
                exit => return Err(unexpected(&format!("{exit:?}"))),
            }
            pages += self.put_back()?;
        }
        Ok((start.elapsed()?, pages))
    }

    fn run(&mut self) -> io::Result<Exit> {
        let vcpu = &self.machine.vcpus[0];
        // An alarm timer that a jitterbug machine has set kicks this thread, too.
        while let Err(error) = call(&vcpu.file, KVM_RUN, 0) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let page = vcpu.page();
        // SAFETY: this is the mapped run page; the exit reason says which member of the union is
        // valid, and KVM puts a port's data at that offset, inside the mapping.
        unsafe {
            match (*page).exit_reason {
                KVM_EXIT_IO => {
                    let io = (*page).__bindgen_anon_1.io;
                    let data = page.cast::<u8>().add(io.data_offset as usize);
                    let value = u32::from_le_bytes(data.cast::<[u8; 4]>().read());
                    Ok(Exit::Port { port: io.port, value })
                }
                KVM_EXIT_MMIO => {
                    Ok(Exit::Store { address: (*page).__bindgen_anon_1.mmio.phys_addr })
                }
                reason => Err(unexpected(&format!("exit {reason}"))),
            }
        }
    }

    fn put_back(&mut self) -> io::Result<u64> {
        let mut count = 0;
        // The copies need the rest of this machine meanwhile.
        let mut log = std::mem::take(&mut self.log);
        for (slot, range) in (0..).zip(SLOTS) {
            dirty_pages(&self.machine.vm, slot, range.end - range.start, &mut log, |page| {
                count += 1;
                self.copy(range.start + page)
            })?;
        }
        self.log = log;
        self.copy(SHARED)?;
        let dirty = match self.registers {
            Registers::General => KVM_SYNC_X86_REGS,
            Registers::All | Registers::AllAndHidden => {
                KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS
            }
        };
        let vcpu = &self.machine.vcpus[0];
        if matches!(self.registers, Registers::AllAndHidden) {
            self.hidden.restore(&vcpu.file)?;
        }
        let page = vcpu.page();
        // SAFETY: this is the mapped run page; KVM reads these fields at the next KVM_RUN.
        unsafe {
            (*page).s.regs = self.saved;
            (*page).kvm_dirty_regs = dirty.into();
        }
        Ok(count + 1)
    }

    fn copy(&self, address: u64) -> io::Result<()> {
        if !(BASE..END).contains(&address) {
            return Err(unexpected(&format!("a store to {address:#x}")));
        }
        let offset = address as usize;
        // SAFETY: these are whole pages inside both mappings, and the guest doesn't run.
        unsafe {
            let target = self.machine.memory.start().add(offset);
            target.copy_from_nonoverlapping(self.pages.start().add(offset), PAGE as usize);
        }
        Ok(())
    }
}

/// An exit of the vCPU.
#[derive(Debug)]
enum Exit {
    Port { port: u16, value: u32 },
    Store { address: u64 },
}

fn unexpected(what: &str) -> io::Error {
    io::Error::other(format!("the guest did something else: {what}"))
}
