use proptest::prelude::*;
use vmm::memory::Memory;

use super::*;
use crate::test_guest::{KERNEL, STACK, guest, hung_guest, put_kernel};
use crate::unwind::addresses;

const FUNCTION: u64 = KERNEL + 0x1000;
const CALLER: u64 = KERNEL + 0x2040;
const CALLERS_CALLER: u64 = KERNEL + 0x3040;

fn walk<M: PhysicalMemory + ?Sized>(
    registers: &Registers,
    system: &SystemRegisters,
    memory: &M,
) -> Vec<u64> {
    addresses(FramePointers.unwind(registers, system, memory))
}

fn put_word(memory: &Memory, address: u64, word: u64) {
    put_kernel(memory, address, &word.to_le_bytes());
}

/// A guest with this code at RIP, the caller's frame at `STACK + 0x40`, and the frame of that
/// caller's caller at `STACK + 0x80`.
fn stopped_at(code: &[u8], rsp: u64, rbp: u64) -> (Memory, SystemRegisters, Registers) {
    let (memory, system) = guest();
    put_kernel(&memory, FUNCTION, code);
    put_word(&memory, STACK + 0x40, STACK + 0x80);
    put_word(&memory, STACK + 0x48, CALLERS_CALLER);
    put_word(&memory, STACK + 0x80, 0);
    put_word(&memory, STACK + 0x88, KERNEL + 0x4040);
    let registers = Registers { rip: FUNCTION, rsp, rbp, ..Registers::default() };
    (memory, system, registers)
}

const WHOLE: [u64; 4] = [FUNCTION, CALLER, CALLERS_CALLER, KERNEL + 0x4040];

#[test]
fn in_the_body_of_a_function() {
    let (memory, system, registers) = stopped_at(&[0x90], STACK - 0x10, STACK + 0x10);
    put_word(&memory, STACK + 0x10, STACK + 0x40);
    put_word(&memory, STACK + 0x18, CALLER);
    assert_eq!(walk(&registers, &system, &memory), WHOLE);
}

#[test]
fn before_the_frame_is_set_up_and_after_it_is_gone() {
    for code in [
        &[0x55, 0x48, 0x89, 0xe5][..],
        &[0xf3, 0x0f, 0x1e, 0xfa, 0x55],
        &[0xc3],
        &[0xc2, 8, 0],
        &[0xf3, 0xc3],
    ] {
        let (memory, system, registers) = stopped_at(code, STACK + 0x18, STACK + 0x40);
        put_word(&memory, STACK + 0x18, CALLER);
        assert_eq!(walk(&registers, &system, &memory), WHOLE, "{code:x?}");
    }
}

#[test]
fn between_push_and_mov() {
    for code in [[0x48, 0x89, 0xe5], [0x48, 0x8b, 0xec]] {
        let (memory, system, registers) = stopped_at(&code, STACK + 0x10, STACK + 0x40);
        put_word(&memory, STACK + 0x10, STACK + 0x40);
        put_word(&memory, STACK + 0x18, CALLER);
        assert_eq!(walk(&registers, &system, &memory), WHOLE);
    }
}

#[test]
fn a_mov_without_its_push_is_no_prologue() {
    let (memory, system, registers) = stopped_at(&[0x48, 0x89, 0xe5], STACK, STACK + 0x40);
    assert_eq!(walk(&registers, &system, &memory), [FUNCTION, CALLERS_CALLER, KERNEL + 0x4040]);
}

/// A call at `CALLER - 5` to `target`.
fn put_call(memory: &Memory, target: u64) {
    let distance = target.wrapping_sub(CALLER) as u32;
    put_kernel(memory, CALLER - 5, &[0xe8]);
    put_kernel(memory, CALLER - 4, &distance.to_le_bytes());
}

#[test]
fn in_a_leaf_function_without_a_frame() {
    for pushed in 0..3 {
        let rsp = STACK + 0x18 - pushed * 8;
        let (memory, system, registers) = stopped_at(&[0xf3, 0x90], rsp, STACK + 0x40);
        put_word(&memory, STACK + 0x18, CALLER);
        put_call(&memory, FUNCTION - 0x10);
        assert_eq!(walk(&registers, &system, &memory), WHOLE);
    }
}

#[test]
fn a_left_over_return_address_is_not_taken_for_a_leafs() {
    let (memory, system, registers) = stopped_at(&[0xf3, 0x90], STACK + 0x18, STACK + 0x40);
    put_word(&memory, STACK + 0x18, CALLER);
    // The call went to the preceding function, which has a frame.
    put_call(&memory, FUNCTION - 0x20);
    put_kernel(&memory, FUNCTION - 0x10, &[0xc3, 0x55, 0x48, 0x89, 0xe5]);
    assert_eq!(walk(&registers, &system, &memory).len(), 3);
    // The call went to an address after RIP.
    put_call(&memory, FUNCTION + 0x20);
    assert_eq!(walk(&registers, &system, &memory).len(), 3);
}

#[test]
fn the_walk_ends_where_nothing_can_follow() {
    let (memory, system, registers) = stopped_at(&[0x90], STACK, STACK + 0x80);
    let ends = |rbp: u64| walk(&Registers { rbp, ..registers }, &system, &memory);
    let last = KERNEL + 0x4040;
    assert_eq!(ends(STACK + 0x80), [FUNCTION, last]);
    assert_eq!(ends(0), [FUNCTION]);
    assert_eq!(ends(0x1000), [FUNCTION], "not mapped");
    assert_eq!(ends(1 << 63), [FUNCTION], "not canonical");
    assert_eq!(ends(STACK + 0x81), [FUNCTION], "not aligned");
    put_word(&memory, STACK + 0x88, 0);
    assert_eq!(ends(STACK + 0x80), [FUNCTION], "return address 0");
    put_word(&memory, STACK + 0x88, 1 << 62);
    assert_eq!(ends(STACK + 0x80), [FUNCTION], "return address not canonical");
    put_word(&memory, STACK + 0x88, last);
    put_word(&memory, STACK + 0x80, STACK + 0x40);
    assert_eq!(ends(STACK + 0x80), [FUNCTION, last], "not increasing");
    put_word(&memory, STACK + 0x80, STACK + 0x80);
    assert_eq!(ends(STACK + 0x80), [FUNCTION, last], "a circle");
    for frame in 0..100 {
        put_word(&memory, STACK + 0x80 + frame * 16, STACK + 0x90 + frame * 16);
        put_word(&memory, STACK + 0x88 + frame * 16, last);
    }
    assert_eq!(ends(STACK + 0x80).len(), MAX_FRAMES);
}

#[test]
fn the_guest_of_2012() {
    let (memory, registers, system) = hung_guest();
    let frames = [0xffff_ffff_fb85_45c6, 0xffff_ffff_fb85_4a79];
    assert_eq!(walk(&registers, &system, &memory), frames);
}

#[test]
fn code_of_32_and_16_bits() {
    let memory = Memory::new(vmm::memory::MemorySize::new(2 << 20).expect("a size")).expect("RAM");
    let word = |address: u64, word: u32| {
        memory.write(address, &word.to_le_bytes()).expect("RAM");
    };
    word(0x8000, 0x8010);
    word(0x8004, 0x1234);
    word(0x8010, 0);
    word(0x8014, 0x5678);
    let mut system = SystemRegisters { cr0: SystemRegisters::CR0_PE, ..Default::default() };
    system.cs.access = 0xc09b;
    let registers = Registers { rip: 0x1000, rbp: 0x8000, rsp: 0x7ff0, ..Registers::default() };
    assert_eq!(walk(&registers, &system, &memory), [0x1000, 0x1234, 0x5678]);
    system.cs.access = 0x9b;
    system.cs.base = 0xf_0000;
    assert_eq!(walk(&registers, &system, &memory), [0xf_1000]);
}

/// Memory with arbitrary bytes that repeat forever, so that every address is RAM.
struct Noise(Vec<u8>);

impl PhysicalMemory for Noise {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = address.wrapping_add(index as u64) % self.0.len() as u64;
            *byte = self.0[at as usize];
        }
        !address.is_multiple_of(13)
    }
}

proptest! {
    #[test]
    fn any_memory_and_any_registers_end_the_walk(
        noise in proptest::collection::vec(any::<u8>(), 1..600),
        rip: u64, rsp: u64, rbp: u64, access: u32, base: u64,
        cr0: u64, cr3: u64, cr4: u64, efer: u64,
    ) {
        let mut system = SystemRegisters { cr0, cr3, cr4, efer, ..Default::default() };
        system.cs.access = access;
        system.cs.base = base;
        system.ss.base = base;
        let registers = Registers { rip, rsp, rbp, ..Default::default() };
        let frames = walk(&registers, &system, &Noise(noise));
        prop_assert!((1..=MAX_FRAMES).contains(&frames.len()));
    }

    #[test]
    fn low_addresses_of_unpaged_noise_too(
        noise in proptest::collection::vec(any::<u8>(), 1..600),
        rip in 0_u64..1 << 32, rsp in 0_u64..1 << 32, rbp in 0_u64..1 << 32,
    ) {
        let mut system = SystemRegisters { cr0: 1, ..Default::default() };
        system.cs.access = 0xc09b;
        let registers = Registers { rip, rsp, rbp, ..Default::default() };
        prop_assert!(walk(&registers, &system, &Noise(noise)).len() <= MAX_FRAMES);
    }
}
