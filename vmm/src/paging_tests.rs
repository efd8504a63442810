use std::collections::HashMap;

use super::*;
use crate::memory::{Memory, MemorySize};
use proptest::prelude::*;

/// The linear address of the kernel of [`guest`].
const KERNEL: u64 = 0xffff_ffff_fb80_0000;
const KERNEL_PHYSICAL: u64 = 0x20_0000;

fn long_mode(cr3: u64) -> SystemRegisters {
    SystemRegisters {
        cr0: SystemRegisters::CR0_PG | SystemRegisters::CR0_PE,
        cr3,
        cr4: SystemRegisters::CR4_PAE,
        efer: SystemRegisters::EFER_LMA,
        ..Default::default()
    }
}

/// A guest whose kernel is mapped by one large page; its tables are at 0x100000.
fn guest() -> (Memory, SystemRegisters) {
    let memory = Memory::new(MemorySize::new(4 << 20).expect("a size")).expect("RAM");
    let index = |shift: u32| (KERNEL >> shift & 0x1ff) * 8;
    for (entry, value) in [
        (0x10_0000 + index(39), 0x10_1003),
        (0x10_1000 + index(30), 0x10_2003),
        (0x10_2000 + index(21), KERNEL_PHYSICAL | 0x83),
    ] {
        memory.write(entry, &u64::to_le_bytes(value)).expect("RAM");
    }
    (memory, long_mode(0x10_0000))
}

/// 64-bit words at some addresses; other addresses have no memory.
#[derive(Default)]
struct Words(HashMap<u64, u64>);

impl PhysicalMemory for Words {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = address + index as u64;
            let Some(word) = self.0.get(&(at & !7)) else { return false };
            *byte = word.to_le_bytes()[(at & 7) as usize];
        }
        true
    }
}

fn words(list: &[(u64, u64)]) -> Words {
    Words(list.iter().copied().collect())
}

const GVA: u64 = 0x0000_7fff_8060_5123;

fn index(level: u32) -> u64 {
    (GVA >> (12 + 9 * (level - 1)) & 0x1ff) * 8
}

#[test]
fn without_paging_addresses_are_physical() {
    let system = SystemRegisters::default();
    assert_eq!(translate(&system, &Words::default(), 0x1234), Ok(0x1234));
    assert_eq!(translate(&system, &Words::default(), 1 << 32), Err(Fault::NotCanonical));
}

#[test]
fn four_levels_with_pages_of_each_size() {
    let system = long_mode(0x1000);
    let upper = [(0x1000 + index(4), 0x2003), (0x2000 + index(3), 0x3003)];
    let mut memory = words(&upper);
    memory.0.extend([(0x3000 + index(2), 0x4003), (0x4000 + index(1), 0x8000_0000_0beb_e063)]);
    assert_eq!(translate(&system, &memory, GVA), Ok(0x0beb_e123));
    memory.0.insert(0x3000 + index(2), 0x4_4000_00e3);
    assert_eq!(translate(&system, &memory, GVA), Ok(0x4_4000_5123));
    memory.0.insert(0x2000 + index(3), 0x5_4000_00e3);
    assert_eq!(translate(&system, &memory, GVA), Ok(0x5_4060_5123));
}

#[test]
fn five_levels() {
    let mut system = long_mode(0x1000);
    system.cr4 |= SystemRegisters::CR4_LA57;
    let gva = 0x00ab_7fff_8060_5123;
    let memory = words(&[
        (0x1000 + (gva >> 48 & 0x1ff) * 8, 0x6001),
        (0x6000 + index(4), 0x2001),
        (0x2000 + index(3), 0x4000_0081),
    ]);
    assert_eq!(translate(&system, &memory, gva), Ok(0x4060_5123));
    system.cr4 = SystemRegisters::CR4_PAE;
    assert_eq!(translate(&system, &memory, gva), Err(Fault::NotCanonical));
}

#[test]
fn pae() {
    let system = SystemRegisters {
        cr0: SystemRegisters::CR0_PG | 1,
        cr4: SystemRegisters::CR4_PAE,
        cr3: 0x1020,
        ..Default::default()
    };
    let gva = 0xc060_5123;
    // The table of 32 bytes need not begin a page, and its entries have no writable bit.
    let mut memory = words(&[
        (0x1020 + 3 * 8, 0x2001),
        (0x2000 + 3 * 8, 0x3003),
        (0x3000 + 5 * 8, 0x12_3456_7003),
    ]);
    assert_eq!(translate(&system, &memory, gva), Ok(0x12_3456_7123));
    memory.0.insert(0x2000 + 3 * 8, 0x1_0040_0083);
    assert_eq!(translate(&system, &memory, gva), Ok(0x1_0040_5123));
}

#[test]
fn bits_32() {
    let mut system =
        SystemRegisters { cr0: SystemRegisters::CR0_PG | 1, cr3: 0x1000, ..Default::default() };
    // Directory entry 0x101 and table entry 5 are the upper halves of their words.
    let mut memory =
        words(&[(0x1000 + 0x100 * 4, 0x2003 << 32), (0x2000 + 4 * 4, 0x0beb_e003 << 32)]);
    let gva = 0x4040_5123;
    assert_eq!(translate(&system, &memory, gva), Ok(0x0beb_e123));
    // Without PSE, the large bit has no effect.
    memory.0.insert(0x1000 + 0x100 * 4, 0x2083 << 32);
    assert_eq!(translate(&system, &memory, gva), Ok(0x0beb_e123));
    system.cr4 = SystemRegisters::CR4_PSE;
    memory.0.insert(0x1000 + 0x100 * 4, 0x00c0_6083 << 32);
    assert_eq!(translate(&system, &memory, gva), Ok(0x3_00c0_5123));
}

#[test]
fn faults_say_where() {
    let system = long_mode(0x1000);
    let mut memory = words(&[(0x1000 + index(4), 0x2003)]);
    let at = 0x2000 + index(3);
    assert_eq!(translate(&system, &memory, GVA), Err(Fault::NoRam { address: at }));
    memory.0.insert(at, 0x3002);
    assert_eq!(translate(&system, &memory, GVA), Err(Fault::NotPresent { level: 3 }));
    assert_eq!(translate(&system, &memory, 1 << 47), Err(Fault::NotCanonical));
}

#[test]
fn reads_cross_pages_that_are_not_neighbours() {
    let (memory, system) = guest();
    // Two small pages, in the wrong order, in the 2 MiB below the kernel.
    let put = |address: u64, value: u64| memory.write(address, &value.to_le_bytes());
    let below = (((KERNEL >> 21) - 1) & 0x1ff) * 8;
    put(0x10_2000 + below, 0x10_3003).expect("RAM");
    put(0x10_3000 + 8, 0x20_5003).expect("RAM");
    put(0x10_3000 + 16, 0x20_4003).expect("RAM");
    memory.write(0x20_5ffe, b"ab").expect("RAM");
    memory.write(0x20_4000, b"cd").expect("RAM");
    let mut bytes = [0; 4];
    let gva = KERNEL - 0x20_0000 + 0x1ffe;
    read(&system, &memory, gva, &mut bytes).expect("mapped");
    assert_eq!(&bytes, b"abcd");
    assert_eq!(read_integer(&system, &memory, gva, 4), Ok(0x6463_6261));
    // The third page isn't mapped.
    let fault = read(&system, &memory, gva, &mut [0; 0x1003]);
    assert_eq!(fault, Err(Fault::NotPresent { level: 1 }));
    assert_eq!(translate(&system, &memory, KERNEL + 5), Ok(KERNEL_PHYSICAL + 5));
}

#[test]
fn a_walk_leaves_no_trace() {
    let (memory, system) = guest();
    let all = || {
        let mut bytes = vec![0; 4 << 20];
        memory.read(0, &mut bytes).expect("RAM");
        bytes
    };
    let before = all();
    read(&system, &memory, KERNEL, &mut [0; 4096]).expect("mapped");
    assert!(all() == before);
}

proptest! {
    #[test]
    fn any_tables_are_walked_without_panic(
        pages in proptest::collection::vec(any::<u64>(), 512),
        cr0: u64, cr3 in 0_u64..0x20_0000, cr4: u64, efer: u64, gva: u64, size in 0_usize..9000,
    ) {
        let memory = Memory::new(MemorySize::new(2 << 20).expect("a size")).expect("RAM");
        for (index, entry) in pages.iter().enumerate() {
            // Half of the entries point back into this memory.
            let entry = if entry & 1 == 0 { *entry } else { entry & 0x1f_ffff };
            memory.write(index as u64 * 4096 + entry % 512 * 8, &entry.to_le_bytes()).expect("RAM");
        }
        let system = SystemRegisters { cr0, cr3, cr4, efer, ..Default::default() };
        let _ = read(&system, &memory, gva, &mut vec![0; size]);
        let _ = read(&system, &memory, u64::MAX - gva % 4096, &mut vec![0; size]);
    }
}
