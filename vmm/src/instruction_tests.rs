use super::*;
use crate::memory::MemorySize;
use crate::registers::{Segment, Table};

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

/// 64-bit mode without paging (which no processor has), and real mode.
fn modes() -> [SystemRegisters; 2] {
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

fn memory(at: u64, code: &[u8]) -> Memory {
    let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    memory.write(at, code).unwrap();
    memory
}

#[test]
fn code_is_read_in_its_mode() {
    let [long, real] = modes();
    // In 16-bit code, 0x40 is inc %ax; in 64-bit code, it is a REX prefix of inc %eax.
    let memory = memory(0x8010, &[0x40, 0xff, 0xc0]);
    let mut known = Instructions::default();
    assert_eq!(known.at(0x8010, &long, &memory).unwrap().instruction.len(), 3);
    assert_eq!(known.at(0x10, &real, &memory).unwrap().instruction.len(), 1);
    assert_eq!(known.known.len(), 2);
    assert_eq!(known.at(0x10, &real, &memory).unwrap().instruction.len(), 1);
    assert_eq!(known.known.len(), 2);
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

#[test]
fn the_instruction_before_is_found() {
    use iced_x86::code_asm::*;
    let [long, _] = modes();
    let mut a = CodeAssembler::new(64).unwrap();
    let mut lengths = Vec::new();
    for turn in 0..40u32 {
        let before = a.assemble(0x4000).unwrap().len();
        match turn % 5 {
            0 => a.mov(qword_ptr(rdi), rax).unwrap(),
            1 => a.mov(dword_ptr(rsi + 0x4848), 0x4848_4848u32).unwrap(),
            2 => a.mov(rcx, 0x4848_4848_4848_4848u64).unwrap(),
            3 => a.add(word_ptr(rbx), 0x48).unwrap(),
            _ => a.push(rbp).unwrap(),
        }
        lengths.push(a.assemble(0x4000).unwrap().len() - before);
    }
    let code = a.assemble(0x4000).unwrap();
    let memory = memory(0x4000, &code);
    let mut end = 0x4000;
    for (turn, length) in lengths.iter().enumerate() {
        end += *length as u64;
        if end - 0x4000 >= 64 {
            let (found, sure) = before(end, &long, &memory).unwrap();
            assert_eq!((found.instruction.len(), sure), (*length, true), "instruction {turn}");
        }
    }
    assert!(before(4, &long, &memory).is_none());
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut places = HashMap::new();
    for linear in 0..2 * MAX_PLACES as u64 + 5 {
        make_room(&mut places);
        places.insert(Place { linear, cr3: 0, bits: 64 }, linear);
        assert!(places.len() <= MAX_PLACES);
    }
    assert_eq!(places.len(), 5);
}
