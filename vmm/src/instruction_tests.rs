use super::*;
use crate::memory::MemorySize;
use crate::registers::{Registers, Segment, Table};

fn locked(code: &[u8]) -> bool {
    decode(code, 0, 64).is_some_and(|decoded| decoded.locked)
}

#[test]
fn locked_instructions_are_told() {
    assert!(locked(&[0xf0, 0xff, 0x00]), "lock inc");
    assert!(locked(&[0x87, 0x03]), "xchg %eax,(%rbx)");
    assert!(locked(&[0xf0, 0x0f, 0xb1, 0x0b]), "lock cmpxchg");
    assert!(!locked(&[0xff, 0x00]), "inc");
    assert!(!locked(&[0x8b, 0x03]), "mov");
    assert!(!locked(&[0x87, 0xd8]), "xchg of registers");
    assert!(!locked(&[]), "nothing");
}

#[test]
fn an_instruction_that_a_step_left_where_it_was_is_not_executed() {
    let after = |code: &[u8], rip: u64| decode(code, 0x1000, 64).unwrap().was_executed(rip);
    assert!(!after(&[0xf0, 0xff, 0x00], 0x1000), "lock inc");
    assert!(after(&[0xf0, 0xff, 0x00], 0x1003), "lock inc");
    assert!(after(&[0xf0, 0xff, 0x00], 0x5000), "lock inc, and a fault");
    assert!(!after(&[0x75, 0x10], 0x1000), "jne");
    assert!(after(&[0x75, 0x10], 0x1012), "jne");
    assert!(after(&[0xeb, 0xfe], 0x1000), "jmp to itself");
    assert!(after(&[0xff, 0xe0], 0x1000), "jmp *%rax");
    assert!(after(&[0xc3], 0x1000), "ret");
}

/// 64-bit mode without paging (which no processor has), and real mode.
pub(super) fn modes() -> [SystemRegisters; 2] {
    let cs = Segment { base: 0x8000, selector: 0x800, limit: 0xffff, access: 0x9b };
    let real = SystemRegisters { cs, idt: Table::default(), ..Default::default() };
    let long = SystemRegisters {
        cs: Segment { base: 0, selector: 8, limit: u32::MAX, access: 0xa09b },
        efer: SystemRegisters::EFER_LMA,
        cr0: SystemRegisters::CR0_PE,
        ..Default::default()
    };
    [long, real]
}

pub(super) fn memory(at: u64, code: &[u8]) -> Memory {
    let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    memory.write(at, code).unwrap();
    memory
}

#[test]
fn addresses_of_stacks_segments_and_sums() {
    let [mut long, real] = modes();
    long.gs.base = 0x7000;
    long.ds.base = 0x1234; // means nothing in 64-bit mode
    let registers = Registers { rax: 0x100, rbx: 2, rsp: 0x5000, rip: 9, ..Default::default() };
    let at = |code: &[u8], system: &SystemRegisters| {
        let decoded = decode(code, 9, system.code_bits()).unwrap();
        decoded.accesses.iter().map(|used| address(used, &registers, system).unwrap()).collect()
    };
    let one: Vec<u64> = at(&[0x8b, 0x44, 0x98, 0x10], &long); // mov 0x10(%rax,%rbx,4),%eax
    assert_eq!(one, [0x118]);
    let one: Vec<u64> = at(&[0x65, 0x8b, 0x00], &long); // mov %gs:(%rax),%eax
    assert_eq!(one, [0x7100]);
    let one: Vec<u64> = at(&[0x50], &long); // push %rax
    assert_eq!(one, [0x4ff8]);
    let one: Vec<u64> = at(&[0x8b, 0x05, 0, 1, 0, 0], &long); // mov 0x100(%rip),%eax
    assert_eq!(one, [9 + 6 + 0x100]);
    let one: Vec<u64> = at(&[0x2e, 0x8b, 0x07], &real); // mov %cs:(%bx),%ax
    assert_eq!(one, [0x8002]);
}
