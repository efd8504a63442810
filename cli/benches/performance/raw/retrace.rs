//! The minimal loop that repeats the runs of a search: on the same machine, with the same vCPU
//! entries, and with nothing else. It makes no decisions, looks at an exit only to check that it is
//! the same, and emulates nothing: the values that accesses read come from the recording.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;

use kvm_bindings::kvm_run;

use super::tape::{self, Argument, Call, Entry, Exit, Files, Target};
use super::{KVM_GET_DIRTY_LOG, KVM_RUN, dirty_pages};
use crate::contest::Busy;
use crate::image::PAGE;

/// The runs that are repeated.
pub(crate) struct Retrace {
    files: Files,
    runs: Vec<Vec<Call>>,
    /// The guest's memory in the state in which runs begin, without pages that are zero.
    pages: HashMap<u64, Box<[u8]>>,
    log: Vec<u64>,
}

/// Whether registers are copied at each exit, as they are for jitterbug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registers {
    Left,
    Synced,
}

/// Records the requests that a machine makes to KVM.
pub(crate) struct Recorder {
    runs: Vec<Vec<Call>>,
    pages: HashMap<u64, Box<[u8]>>,
}

impl Recorder {
    /// Begins to record. Call this before the machine is made.
    pub(crate) fn begin() -> Self {
        tape::begin();
        Self { runs: Vec::new(), pages: HashMap::new() }
    }

    /// Called when the machine is in the state in which runs begin. `memory` has its pages, each
    /// with its address.
    pub(crate) fn start(&mut self, memory: impl Iterator<Item = (u64, Vec<u8>)>) {
        let zero = |page: &[u8]| page.iter().all(|byte| *byte == 0);
        self.pages = memory
            .filter(|(_, page)| !zero(page))
            .map(|(address, page)| (address, page.into_boxed_slice()))
            .collect();
        tape::take();
    }

    /// Makes a run, and keeps the recording if it can be repeated, which it can't if a vCPU was
    /// kicked.
    pub(crate) fn record<T>(&mut self, make: impl FnOnce() -> T) -> Option<T> {
        tape::take();
        let made = make();
        let run = tape::take()?;
        self.runs.push(run);
        Some(made)
    }

    /// Called after all runs. The machine must live as long as the returned value is used.
    pub(crate) fn finish(self) -> Retrace {
        let files = tape::end();
        let longest = files.slots.values().map(|(range, _)| range.end - range.start).max();
        let log = vec![0; (longest.unwrap_or(0) / PAGE).div_ceil(64) as usize];
        Retrace { files, runs: self.runs, pages: self.pages, log }
    }
}

impl Retrace {
    /// The number of vCPU entries in the runs.
    pub(crate) fn entries(&self) -> usize {
        let calls = self.runs.iter().flatten();
        calls.filter(|call| matches!(call, Call::Run(entry) if entry.exit.is_some())).count()
    }

    /// Repeats all runs, and returns how long that took.
    pub(crate) fn repeat(&mut self, registers: Registers) -> io::Result<Duration> {
        let start = Busy::start()?;
        self.make(registers, |_| Ok(()))?;
        Ok(start.elapsed()?)
    }

    /// Repeats all runs, and returns for each request how many times it was made, and how long it
    /// took in total. Reading the clock takes time, too.
    pub(crate) fn profile(&mut self) -> io::Result<BTreeMap<u64, (u64, Duration)>> {
        let mut requests = BTreeMap::<u64, (u64, Duration)>::new();
        let mut before = Busy::start()?;
        self.make(Registers::Left, |request| {
            let (count, time) = requests.entry(request).or_default();
            *count += 1;
            *time += before.elapsed()?;
            before = Busy::start()?;
            Ok(())
        })?;
        Ok(requests)
    }

    /// `made` is called after each request.
    fn make(
        &mut self,
        registers: Registers,
        mut made: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        for (number, run) in (1..).zip(&self.runs) {
            // The machine reads its registers in the run page when it goes on behind this.
            let is_last = number == self.runs.len();
            let registers = if is_last { Registers::Synced } else { registers };
            let mut reset = false;
            for call in run {
                match call {
                    Call::Run(entry) => {
                        self.files.enter(entry, registers)?;
                        made(KVM_RUN)?;
                    }
                    Call::Set { target, request, argument } => {
                        self.files.set(*target, *request, argument)?;
                        made(*request)?;
                    }
                    // The later requests are part of a proof of a hang, and put nothing back.
                    Call::DirtyLog if reset => {}
                    Call::DirtyLog => {
                        reset = true;
                        self.files.put_back(&self.pages, &mut self.log)?;
                        made(KVM_GET_DIRTY_LOG)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Files {
    fn enter(&self, entry: &Entry, registers: Registers) -> io::Result<()> {
        let (vcpu, page) = self.vcpus[entry.vcpu];
        let page = page as *mut kvm_run;
        // SAFETY: this is the mapped run page, which KVM writes to during KVM_RUN only. The offset
        // is KVM's own.
        unsafe {
            (*page).request_interrupt_window = entry.request_interrupt_window;
            (*page).cr8 = entry.cr8;
            (*page).kvm_valid_regs = match registers {
                Registers::Left => 0,
                Registers::Synced => entry.valid_regs,
            };
            (*page).kvm_dirty_regs = entry.dirty_regs;
            if let Some(registers) = &entry.registers {
                (*page).s.regs = **registers;
            }
            (*page).__bindgen_anon_1 = entry.answer;
            if let Some((offset, data)) = entry.data {
                page.cast::<u8>().add(offset as usize).cast::<[u8; tape::PORT_DATA]>().write(data);
            }
        }
        loop {
            // SAFETY: as above; KVM_RUN takes no argument, and the machine lives.
            let result = unsafe {
                (*page).immediate_exit = entry.immediate_exit;
                libc::ioctl(vcpu, KVM_RUN, 0)
            };
            if result == 0 {
                break;
            }
            let error = io::Error::last_os_error();
            // The machine's alarm timer still runs.
            match error.kind() {
                io::ErrorKind::Interrupted if entry.exit.is_none() => return Ok(()),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
        // SAFETY: as above; the vCPU has come back.
        let exit = unsafe { Exit::read(page) };
        if Some(exit) == entry.exit {
            return Ok(());
        }
        let expected = entry.exit;
        Err(io::Error::other(format!("vCPU {}: {exit:?} instead of {expected:?}", entry.vcpu)))
    }

    fn set(&self, target: Target, request: u64, argument: &Argument) -> io::Result<()> {
        let file = match target {
            Target::Vm => self.vm,
            Target::Vcpu(vcpu) => self.vcpus[vcpu].0,
        };
        // SAFETY: the machine made the same request with the same argument while it was recorded.
        let result = unsafe {
            match argument {
                Argument::Number(number) => libc::ioctl(file, request, *number),
                Argument::Structure(bytes) => libc::ioctl(file, request, bytes.as_ptr()),
            }
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Restores the pages to which the guest has stored.
    fn put_back(&self, pages: &HashMap<u64, Box<[u8]>>, log: &mut [u64]) -> io::Result<()> {
        const ZERO: [u8; PAGE as usize] = [0; PAGE as usize];
        for (slot, (range, address)) in &self.slots {
            dirty_pages(&self.vm, *slot, range.end - range.start, log, |page| {
                let before = pages.get(&(range.start + page)).map_or(&ZERO[..], |page| &page[..]);
                let target = (address + page) as *mut u8;
                // SAFETY: a whole page of the slot's memory, and the guest doesn't run.
                unsafe { target.copy_from_nonoverlapping(before.as_ptr(), PAGE as usize) };
                Ok(())
            })?;
        }
        Ok(())
    }
}
