//! The state in which a kernel is entered in 64-bit mode: paging with an identity map of the first
//! 4 GiB, flat segments, interrupts off (Linux, `Documentation/arch/x86/boot.rst`, "64-bit Boot
//! Protocol").

use super::{flat, layout};
use crate::error::Result;
use crate::memory::Memory;
use crate::registers::{Registers, SystemRegisters};

/// Two null descriptors, 64-bit code at 0x10 and data at 0x18, as the protocol demands.
const GDT: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
/// The number of page directories: each maps 1 GiB in pages of 2 MiB.
const DIRECTORIES: u64 = 4;
/// Bits of a page-table entry (Intel SDM vol. 3, 4.5).
const PRESENT_WRITABLE: u64 = 0b11;
const LARGE_PAGE: u64 = 1 << 7;
const PAGE: u64 = 0x1000;

/// Writes the GDT and the page tables.
pub(super) fn write(memory: &Memory) -> Result<()> {
    memory.write(layout::GDT, &GDT.map(u64::to_le_bytes).concat())?;
    let pointers = layout::PAGE_TABLES + PAGE;
    let directories = pointers + PAGE;
    memory.write(layout::PAGE_TABLES, &(pointers | PRESENT_WRITABLE).to_le_bytes())?;
    for number in 0..DIRECTORIES {
        let directory = directories + number * PAGE;
        memory.write(pointers + number * 8, &(directory | PRESENT_WRITABLE).to_le_bytes())?;
        let pages = (0..512).map(|page| (number * 512 + page) << 21);
        let entries: Vec<u8> =
            pages.flat_map(|page| (page | LARGE_PAGE | PRESENT_WRITABLE).to_le_bytes()).collect();
        memory.write(directory, &entries)?;
    }
    Ok(())
}

/// The first vCPU's general-purpose registers: RSI has the address of the boot data.
pub(super) fn registers(entry: u64, boot_data: u64) -> Registers {
    Registers {
        rip: entry,
        rsi: boot_data,
        rsp: layout::STACK,
        rbp: layout::STACK,
        rflags: Registers::RESERVED_FLAG,
        ..Default::default()
    }
}

/// The first vCPU's system registers. `reset` is the state after reset, from which the APIC base
/// and the task register are taken.
pub(super) fn system_registers(reset: &SystemRegisters) -> SystemRegisters {
    const ET: u64 = 1 << 4;
    SystemRegisters {
        cr0: SystemRegisters::CR0_PE | ET | SystemRegisters::CR0_PG,
        cr3: layout::PAGE_TABLES,
        cr4: SystemRegisters::CR4_PAE,
        efer: SystemRegisters::EFER_LME | SystemRegisters::EFER_LMA,
        ..flat::segments(reset, 2, 0xa09b, size_of_val(&GDT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemorySize;
    use crate::paging;

    #[test]
    fn the_first_4_gib_are_mapped_to_themselves() {
        let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
        write(&memory).unwrap();
        let system = system_registers(&SystemRegisters::default());
        for address in [0, 0x1000, 0x20_0000, 0x7fff_ffff, 0xffff_ffff] {
            let physical = paging::translate(&system, &memory, address);
            assert_eq!(physical.ok(), Some(address), "{address:#x}");
        }
        assert!(paging::translate(&system, &memory, 1 << 32).is_err());
        assert_eq!(system.code_bits(), 64);
    }
}
