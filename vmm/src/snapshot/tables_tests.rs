use super::*;
use crate::memory::MemorySize;

fn tables(cr0: u64, cr4: u64, efer: u64, memory: &Memory) -> Vec<u64> {
    let system = SystemRegisters { cr0, cr4, efer, cr3: 0x1000, ..Default::default() };
    let mut pages = BTreeSet::new();
    page_tables(&system, memory, &mut pages);
    pages.into_iter().collect()
}

fn memory(entries: &[(u64, u64)]) -> Memory {
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    for (address, entry) in entries {
        memory.write(*address, &entry.to_le_bytes()).unwrap();
    }
    memory
}

#[test]
fn without_paging_there_are_none() {
    assert!(tables(1, SystemRegisters::CR4_PAE, 0, &memory(&[(0x1000, 0x2001)])).is_empty());
}

#[test]
fn four_levels_with_small_and_large_pages() {
    let memory = memory(&[
        (0x1000, 0x2003),           // PML4 -> PDPT
        (0x1ff8, 0x1003),           // PML4 -> itself
        (0x2000, 0x3003),           // PDPT -> PD
        (0x2008, 0x4000_0083),      // PDPT -> a page of 1 GiB
        (0x3000, 0x4003),           // PD -> PT
        (0x3008, 0x0020_0083),      // PD -> a page of 2 MiB
        (0x3010, 0x6002),           // PD: not present
        (0x4000, 0x9003),           // PT -> a page
        (0x4008, 0xffff_f000_0001), // PT -> a page that isn't there
    ]);
    assert_eq!(
        tables(
            SystemRegisters::CR0_PG | 1,
            SystemRegisters::CR4_PAE,
            SystemRegisters::EFER_LMA,
            &memory
        ),
        [0x1000, 0x2000, 0x3000, 0x4000]
    );
}

#[test]
fn two_levels_have_entries_of_four_bytes() {
    let memory = memory(&[(0x1000, 0x0000_5003_0000_2003)]);
    assert_eq!(tables(SystemRegisters::CR0_PG | 1, 0, 0, &memory), [0x1000, 0x2000, 0x5000]);
}

#[test]
fn a_table_outside_memory_ends_the_walk() {
    let memory = memory(&[(0x1000, 0x00ff_ffff_f003)]);
    assert_eq!(
        tables(
            SystemRegisters::CR0_PG | 1,
            SystemRegisters::CR4_PAE,
            SystemRegisters::EFER_LMA,
            &memory
        ),
        [0x1000]
    );
}
