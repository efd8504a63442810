use super::*;
use crate::memory::{HOLE_END, MemorySize};

fn memory(bytes: u64) -> Memory {
    Memory::new(MemorySize::new(bytes).unwrap()).unwrap()
}

#[test]
fn the_guest_finds_its_command_line() {
    let memory = memory(4 << 20);
    write_boot_data(&memory, "cpus=6").unwrap();
    let rbx = registers(0).rbx;
    assert_eq!(memory.read_u32(rbx).unwrap(), START_MAGIC);
    let line = memory.read_u64(rbx + 24).unwrap();
    let mut text = [0; 7];
    memory.read(line, &mut text).unwrap();
    assert_eq!(&text, b"cpus=6\0");
}

#[test]
fn a_command_line_that_does_not_fit_is_refused() {
    let memory = memory(4 << 20);
    assert!(write_boot_data(&memory, &"x".repeat(2047)).is_ok());
    let error = write_boot_data(&memory, &"x".repeat(2048)).unwrap_err().to_string();
    assert!(error.contains("at most 2047"), "{error}");
    assert!(write_boot_data(&memory, "a\0b").is_err());
}

#[test]
fn the_map_leaves_out_the_hole() {
    let map = memory_map(&memory(HOLE_START + (1 << 20)));
    let ram: Vec<_> =
        map.iter().filter(|e| e.type_ == RAM).map(|e| (e.addr, e.addr + e.size)).collect();
    assert_eq!(
        ram,
        [(0, layout::LOW_END), (layout::HIGH_START, HOLE_START), (HOLE_END, HOLE_END + (1 << 20))]
    );
}

use crate::memory::HOLE_START;

#[test]
fn starts_in_flat_protected_mode() {
    let reset = SystemRegisters { apic_base: 0xfee0_0900, cr4: 0x20, ..Default::default() };
    let system = system_registers(&reset);
    assert_eq!((system.cr0, system.cr4, system.apic_base), (0x11, 0, 0xfee0_0900));
    assert_eq!(system.code_bits(), 32);
}
