//! A vCPU that plays back a list of exits, to test run loops, boards and hooks without KVM.

use std::collections::VecDeque;

use crate::cpu::{Cpu, Debuggable};
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::guest_debug::GuestDebug;
use crate::memory::{Memory, PAGE_SIZE};
use crate::registers::{Activity, DebugRegisters, Registers, Segment, SystemRegisters};

/// Plays back exits, and records the entries. When the exits are used up, it reports kicks for
/// ever, as a spinning vCPU does that is kicked again and again.
#[derive(Debug)]
pub struct ScriptedCpu {
    exits: VecDeque<Exit>,
    /// Every entry so far: one for each call of [`run`](Cpu::run) or `finish_access`.
    pub entries: Vec<Entry>,
    /// The general registers.
    pub registers: Registers,
    /// The system registers.
    pub system_registers: SystemRegisters,
    /// What [`Cpu::activity`] returns.
    pub activity: Activity,
}

impl ScriptedCpu {
    /// A vCPU with these exits, in this order.
    pub fn new(exits: impl IntoIterator<Item = Exit>) -> Self {
        Self {
            exits: exits.into_iter().collect(),
            entries: Vec::new(),
            registers: Registers::default(),
            system_registers: SystemRegisters::default(),
            activity: Activity::Running,
        }
    }

    /// A vCPU in 64-bit code, without exits. The first 2 MiB are identity-mapped, by three pages of
    /// tables at guest-physical `tables`.
    pub fn with_paging(memory: &Memory, tables: u64) -> Result<Self> {
        const PRESENT_WRITABLE: u64 = 3;
        const LARGE: u64 = 1 << 7;
        let put = |address: u64, entry: u64| memory.write(address, &entry.to_le_bytes());
        put(tables, (tables + PAGE_SIZE) | PRESENT_WRITABLE)?;
        put(tables + PAGE_SIZE, (tables + 2 * PAGE_SIZE) | PRESENT_WRITABLE)?;
        put(tables + 2 * PAGE_SIZE, LARGE | PRESENT_WRITABLE)?;
        let system_registers = SystemRegisters {
            cs: Segment { selector: 8, access: 0xa09b, limit: u32::MAX, base: 0 },
            cr0: SystemRegisters::CR0_PG | SystemRegisters::CR0_PE,
            cr3: tables,
            cr4: SystemRegisters::CR4_PAE,
            efer: SystemRegisters::EFER_LMA,
            ..SystemRegisters::default()
        };
        Ok(Self { system_registers, ..Self::new([]) })
    }
}

impl Cpu for ScriptedCpu {
    fn run(&mut self, entry: Entry) -> Result<Exit> {
        self.entries.push(entry);
        Ok(self.exits.pop_front().unwrap_or(Exit::Kicked))
    }

    fn registers(&mut self) -> Result<Registers> {
        Ok(self.registers)
    }

    fn set_registers(&mut self, registers: &Registers) -> Result<()> {
        self.registers = *registers;
        Ok(())
    }

    fn system_registers(&mut self) -> Result<SystemRegisters> {
        Ok(self.system_registers)
    }

    fn debug_registers(&mut self) -> Result<DebugRegisters> {
        Ok(DebugRegisters::default())
    }

    fn msr(&mut self, _index: u32) -> Result<u64> {
        Ok(0)
    }

    fn tsc_khz(&mut self) -> Result<u32> {
        Ok(1_000_000)
    }

    fn activity(&mut self) -> Result<Activity> {
        Ok(self.activity)
    }
}

/// A scripted vCPU has no code: steps and breakpoints are in the list of exits, or don't happen.
impl Debuggable for ScriptedCpu {
    fn set_debug(&mut self, _: &GuestDebug) -> Result<()> {
        Ok(())
    }

    fn raise_breakpoint(&mut self, _: &GuestDebug) -> Result<()> {
        Ok(())
    }

    fn finish_access(&mut self, entry: Entry) -> Result<Option<Exit>> {
        self.entries.push(entry);
        Ok(None)
    }

    fn has_pending_interrupt(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn nmi(&mut self) -> Result<()> {
        Ok(())
    }

    fn halt(&mut self) -> Result<()> {
        self.activity = Activity::Halted;
        Ok(())
    }

    fn enable_interrupts(&mut self) -> Result<()> {
        Ok(())
    }

    fn read_msr(&mut self, _: u32) -> Result<Option<u64>> {
        Ok(Some(0))
    }

    fn write_msr(&mut self, _: u32, _: u64) -> Result<()> {
        Ok(())
    }

    fn answer_msr(&mut self, _: Option<u64>) {}
}
