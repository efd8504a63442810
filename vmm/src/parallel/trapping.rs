//! Accesses to watched memory, done by the vCPU's own thread.
//!
//! A locked instruction is a load and a store between which no other vCPU may come, and no other
//! vCPU's plain store either. So whoever does a watched access holds one lock, which the machine has
//! for all of them: a plain access for as long as it takes, a locked instruction from its load to the
//! end of its store. KVM does the rest of such an instruction without running on, so nothing else
//! happens under the lock, and hooks are called without it: their order may differ from that of
//! accesses at the same time.

use std::sync::{Mutex, PoisonError};

use smallvec::SmallVec;

use crate::cpu::{Cpu, Debuggable};
use crate::error::{Error, Result};
use crate::exit::{Bytes, Entry, Exit, little};
use crate::hook::Access;
use crate::instruction;
use crate::memory::Memory;
use crate::trapped::{self, TableRegisters, UnsupportedAccess};

/// One vCPU's accesses to watched memory.
pub(super) struct Watching<'a> {
    lock: &'a Mutex<()>,
    /// Where the vCPU's tables are, once it is known that they may be there.
    tables: Option<TableRegisters>,
}

/// What was done for an exit.
pub(super) struct Done {
    /// How the vCPU goes on.
    pub(super) entry: Entry,
    /// In this order.
    pub(super) accesses: SmallVec<[Access; 2]>,
    /// The exit that has come already; it goes on behind that.
    pub(super) next: Option<Exit>,
}

impl<'a> Watching<'a> {
    pub(super) fn new(lock: &'a Mutex<()>) -> Self {
        Self { lock, tables: None }
    }

    /// Does the access that an exit announces; `None` if that is none to watched memory.
    pub(super) fn perform(
        &mut self,
        vcpu: u32,
        cpu: &mut impl Debuggable,
        memory: &Memory,
        exit: &Exit,
    ) -> Result<Option<Done>> {
        let mut done = Done { entry: Entry::Resume, accesses: SmallVec::new(), next: None };
        match exit {
            Exit::MmioWrite { address, data } if memory.is_trapped(*address) => {
                let rip = cpu.registers()?.rip;
                let _doing = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                done.accesses.push(store(memory, *address, data, false, rip)?);
            }
            Exit::MmioRead { address, size } if memory.is_trapped(*address) => {
                self.check_tables(vcpu, cpu, memory)?;
                let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
                let decoded = instruction::look(registers.rip, &system, memory);
                let locked = decoded.as_ref().is_some_and(|decoded| decoded.locked);
                if let Some(decoded) = decoded.filter(|_| locked) {
                    // KVM would do the other part without a lock.
                    let whole = decoded.accesses.iter().any(|used| {
                        instruction::reads(used) && used.memory_size().size() == usize::from(*size)
                    });
                    let kind = instruction::reads;
                    let split =
                        || trapped::split(&decoded, &registers, &system, memory, *address, kind);
                    if let Some(unsupported) = (!whole).then(split).flatten() {
                        return Err(refuse(vcpu, registers.rip, unsupported, memory));
                    }
                }
                let _doing = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                let (access, data) = load(memory, *address, *size, locked, registers.rip)?;
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

    /// Fails if a watched page is behind an exit that nothing answers, or behind a vCPU that had to be
    /// kicked: perhaps KVM tries again for ever.
    pub(super) fn explain(
        &mut self,
        vcpu: u32,
        cpu: &mut dyn Cpu,
        memory: &Memory,
        exit: &Exit,
    ) -> Result<()> {
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        if *exit == Exit::Kicked {
            self.check_tables(vcpu, cpu, memory)?;
            return match trapped::misplaced_code(&registers, &system, memory) {
                Some(unsupported) => Err(refuse(vcpu, registers.rip, unsupported, memory)),
                None => Ok(()),
            };
        }
        let decoded = instruction::look(registers.rip, &system, memory);
        match trapped::explain(&registers, &system, memory, decoded.as_ref(), Some(exit)) {
            Some(unsupported) => Err(refuse(vcpu, registers.rip, unsupported, memory)),
            None => Ok(()),
        }
    }

    /// Whether the vCPU's tables are where they can't be; looked at again when they have moved.
    fn check_tables(&mut self, vcpu: u32, cpu: &mut dyn Cpu, memory: &Memory) -> Result<()> {
        let system = cpu.system_registers()?;
        let now = TableRegisters::of(&system);
        if self.tables != Some(now) {
            if let Some(unsupported) = trapped::misplaced_table(&system, memory) {
                return Err(refuse(vcpu, cpu.registers()?.rip, unsupported, memory));
            }
            self.tables = Some(now);
        }
        Ok(())
    }
}

/// Has KVM execute the rest of a locked instruction, and does its store.
fn finish(cpu: &mut impl Debuggable, memory: &Memory, done: &mut Done, rip: u64) -> Result<()> {
    loop {
        let entry = std::mem::replace(&mut done.entry, Entry::Resume);
        match cpu.finish_access(entry)? {
            Some(Exit::MmioWrite { address, data }) if memory.is_trapped(address) => {
                done.accesses.push(store(memory, address, &data, true, rip)?);
            }
            Some(Exit::MmioRead { address, size }) if memory.is_trapped(address) => {
                let (access, data) = load(memory, address, size, true, rip)?;
                done.accesses.push(access);
                done.entry = Entry::Data(data);
            }
            // Single steps are on, and this is the end of one.
            Some(Exit::Debug { .. }) => {}
            other => {
                done.next = other;
                return Ok(());
            }
        }
    }
}

fn load(
    memory: &Memory,
    address: u64,
    size: u8,
    locked: bool,
    rip: u64,
) -> Result<(Access, Bytes)> {
    let mut data = Bytes::from_elem(0, usize::from(size));
    memory.read(address, &mut data)?;
    let value = little(&data);
    Ok((Access { address, size, write: false, value, before: value, locked, rip }, data))
}

fn store(memory: &Memory, address: u64, data: &Bytes, locked: bool, rip: u64) -> Result<Access> {
    let mut before = Bytes::from_elem(0, data.len());
    memory.read(address, &mut before)?;
    memory.write(address, data)?;
    let (value, before) = (little(data), little(&before));
    Ok(Access { address, size: data.len() as u8, write: true, value, before, locked, rip })
}

fn refuse(vcpu: u32, rip: u64, unsupported: UnsupportedAccess, memory: &Memory) -> Error {
    let by = memory.watcher(unsupported.gpa());
    Error::Trapped { vcpu, rip, unsupported, by }
}
