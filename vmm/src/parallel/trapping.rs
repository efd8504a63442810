//! Performs accesses to trapped memory, on the vCPU's own thread.
//!
//! A locked instruction is a load and a store; no store of another vCPU, locked or plain, may come
//! in between. So a vCPU performs its accesses to trapped memory under one lock for the whole
//! machine: it holds the lock for a single access, or from the load to the end of the store of a
//! locked instruction. KVM completes the rest of such an instruction without running on, so nothing
//! else happens under the lock. Hooks are called without the lock: their order may differ from the
//! order of simultaneous accesses.

use std::sync::{Mutex, PoisonError};

use smallvec::SmallVec;

use crate::cpu::{Cpu, Debuggable};
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::hook::Access;
use crate::instruction;
use crate::memory::Memory;
use crate::trapped::{self, TableCheck};

/// One vCPU's accesses to trapped memory.
pub(super) struct Trapping<'a> {
    lock: &'a Mutex<()>,
    tables: TableCheck,
}

/// The result of performing the access of an exit.
pub(super) struct Done {
    /// The answer with which the vCPU continues.
    pub(super) entry: Entry,
    /// The accesses, in the order in which they were performed.
    pub(super) accesses: SmallVec<[Access; 2]>,
    /// An exit that has already occurred; the vCPU continues from it.
    pub(super) next: Option<Exit>,
}

impl<'a> Trapping<'a> {
    pub(super) fn new(lock: &'a Mutex<()>) -> Self {
        Self { lock, tables: TableCheck::default() }
    }

    /// Looks at the tables again: other pages are trapped now.
    pub(super) fn forget(&mut self) {
        self.tables = TableCheck::default();
    }

    /// Performs the access that an exit reports; `None` if the exit is not an access to trapped
    /// memory.
    pub(super) fn perform(
        &mut self,
        vcpu: u32,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        exit: &Exit,
    ) -> Result<Option<Done>> {
        let mut done = Done { entry: Entry::Resume, accesses: SmallVec::new(), next: None };
        match exit {
            Exit::MmioWrite { address, data } if memory.may_exit(*address) => {
                let rip = cpu.registers()?.rip;
                let _doing = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                done.accesses.push(trapped::store(memory, *address, data, false, rip)?);
            }
            Exit::MmioRead { address, size } if memory.may_exit(*address) => {
                let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
                self.tables.check(vcpu, registers.rip, &system, memory)?;
                let decoded = instruction::look(registers.rip, &system, memory);
                let locked = decoded.as_ref().is_some_and(|decoded| decoded.locked);
                if let Some(decoded) = decoded.filter(|_| locked) {
                    // Of a split load, KVM would perform the other part without the lock.
                    let size = usize::from(*size);
                    let found =
                        trapped::split_load(&decoded, &registers, &system, memory, *address, size);
                    if let Some(unsupported) = found {
                        return Err(trapped::refuse(vcpu, registers.rip, unsupported, memory));
                    }
                }
                let _doing = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                let (access, data) = trapped::load(memory, *address, *size, locked, registers.rip)?;
                done.accesses.push(access);
                done.entry = Entry::Data(data);
                if locked {
                    finish(cpu, memory, &mut done, registers.rip)?;
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(done))
    }

    /// Fails if a trapped page is the reason for an exit that nothing answers, or why a vCPU had to
    /// be kicked: KVM may be retrying for ever.
    pub(super) fn explain(
        &mut self,
        vcpu: u32,
        cpu: &mut dyn Cpu,
        memory: &Memory,
        exit: &Exit,
    ) -> Result<()> {
        if !memory.has_trapped_pages() {
            return Ok(());
        }
        if *exit != Exit::Kicked {
            return trapped::reason(vcpu, cpu, memory, Some(exit))?.map_or(Ok(()), Err);
        }
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        self.tables.check(vcpu, registers.rip, &system, memory)?;
        match trapped::misplaced_code(&registers, &system, memory) {
            Some(unsupported) => Err(trapped::refuse(vcpu, registers.rip, unsupported, memory)),
            None => Ok(()),
        }
    }
}

/// Has KVM complete a locked instruction, and performs its store.
fn finish(cpu: &mut impl Debuggable, memory: &Memory, done: &mut Done, rip: u64) -> Result<()> {
    loop {
        let entry = std::mem::replace(&mut done.entry, Entry::Resume);
        match cpu.finish_access(entry)? {
            Some(Exit::MmioWrite { address, data }) if memory.may_exit(address) => {
                done.accesses.push(trapped::store(memory, address, &data, true, rip)?);
            }
            Some(Exit::MmioRead { address, size }) if memory.may_exit(address) => {
                let (access, data) = trapped::load(memory, address, size, true, rip)?;
                done.accesses.push(access);
                done.entry = Entry::Data(data);
            }
            // The end of a single step.
            Some(Exit::Debug { .. }) => {}
            other => {
                done.next = other;
                return Ok(());
            }
        }
    }
}
