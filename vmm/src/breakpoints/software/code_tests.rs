use iced_x86::Instruction;

use super::*;
use crate::boot;
use crate::config::{CpuCount, GuestImage};
use crate::memory::MemorySize;

/// The code of a guest, its memory, and the linear address of its first function with a symbol.
fn hello() -> (Code, Memory, u64) {
    let guest = guests::find("hello").unwrap();
    let image = GuestImage { name: "hello".into(), bytes: guest.image.into() };
    let config = MachineConfig::new(image, CpuCount::new(1).unwrap());
    let memory = Memory::new(MemorySize::new(32 << 20).unwrap()).unwrap();
    boot::load(&config, &memory).unwrap();
    let code = Code::of(&config);
    // A function of some length. Its linear address is the one that only 64-bit code has.
    let at = code.stretches.iter().find(|stretch| stretch.end - stretch.start > 64).unwrap().start;
    let high = 0xffff_ffff_fb80_0000 - 0x40_0000;
    (code, memory, high + at)
}

#[test]
fn an_instruction_begins_where_decoding_from_the_symbol_arrives() {
    let (code, memory, function) = hello();
    let start = code.instruction(function, &memory).expect("the first instruction");
    let mut bytes = [0; 64];
    memory.read(start, &mut bytes).unwrap();
    let decoded: Vec<_> = instruction::decode_all(&bytes, function, 64).collect();
    let last = decoded.last().unwrap().ip();
    let simple: Vec<u64> =
        decoded.iter().filter(|one| is_simple(one)).map(Instruction::ip).collect();
    assert!(simple.len() > 4, "{simple:x?}");
    for linear in function..last {
        let found = code.instruction(linear, &memory);
        let expected = simple.contains(&linear).then_some(start + (linear - function));
        assert_eq!(found, expected, "{linear:#x}");
    }
}

#[test]
fn what_is_no_code_of_the_image_gets_no_int3() {
    let (code, memory, function) = hello();
    for linear in [0, 0x40_0000, function - (1 << 30), u64::MAX] {
        assert_eq!(code.instruction(linear, &memory), None, "{linear:#x}");
    }
}

#[test]
fn an_instruction_that_the_guest_has_replaced_is_none_any_more() {
    let (code, memory, function) = hello();
    let start = code.instruction(function, &memory).unwrap();
    let mut bytes = [0; 64];
    memory.read(start, &mut bytes).unwrap();
    let second = instruction::decode_all(&bytes, start, 64).nth(1).unwrap().ip();
    let linear = function + (second - start);
    assert!(code.instruction(linear, &memory).is_some());
    // One instruction of ten bytes: `movabs $0,%rax`.
    memory.write(start, &[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(code.instruction(linear, &memory), None);
    assert!(code.instruction(function, &memory).is_some());
}
