use super::*;
use crate::memory::MemorySize;

#[test]
fn the_guest_finds_its_boot_data() {
    let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
    write_boot_data(&memory, Some(0x30_0000..0x30_0007)).unwrap();
    let rbx = registers(0).rbx;
    assert_eq!(memory.read_u32(rbx).unwrap(), START_MAGIC);
    let field = |at| memory.read_u64(rbx + at).unwrap();
    assert_eq!((field(24), field(32)), (layout::COMMAND_LINE, layout::RSDP));
    // One module: its address and its size.
    assert_eq!(memory.read_u32(rbx + 12).unwrap(), 1);
    let module = |at| memory.read_u64(field(16) + at).unwrap();
    assert_eq!((module(0), module(8)), (0x30_0000, 7));
}

#[test]
fn starts_in_flat_protected_mode() {
    let reset = SystemRegisters { apic_base: 0xfee0_0900, cr4: 0x20, ..Default::default() };
    let system = system_registers(&reset);
    assert_eq!((system.cr0, system.cr4, system.apic_base), (0x11, 0, 0xfee0_0900));
    assert_eq!(system.code_bits(), 32);
}
