use std::sync::Arc;

use proptest::prelude::*;
use vmm::memory::Memory;
use vmm::registers::Segment;

use super::*;
use crate::test_guest::{KERNEL, STACK, guest, put_kernel, tsc_sync_guest, tsc_sync_symbols};
use crate::unwind::{Unwinder as _, addresses, unwinder};

const TEXT: u64 = 0xffff_ffff_fb85_4000;
const TSC_READY: u64 = 0xffff_ffff_fb85_6020;

#[test]
fn the_master_waits_for_tsc_ready() {
    let (memory, system) = tsc_sync_guest();
    let symbols = tsc_sync_symbols();
    // RIP is at the cmp. One sample is at the pause, another at the mov.
    let registers = Registers { rip: TEXT + 0x13, rax: 7, ..Registers::default() };
    let spin = Spin::analyse(&Observation {
        registers: &registers,
        system: &system,
        activity: Activity::Running,
        sampled: &[TEXT + 0x0d, TEXT + 0x0b],
        memory: &memory,
        inspector: &Some(Arc::clone(&symbols)).into(),
    });
    assert_eq!(
        spin.to_string(),
        "spins in tsc_sync_master+0x13 (tsc_sync.c:16): cmp $0x1,%eax; reads tsc_ready at \
         0xfffffffffb856020, 4 bytes, value 0x7"
    );
    let around = spin.around.expect("a loop");
    assert_eq!((around.start, around.end), (TEXT + 0x0b, TEXT + 0x18));
    assert_eq!(around.instructions.len(), 4);
    let expected = Read {
        address: TSC_READY,
        size: 4,
        symbol: Some("tsc_ready".into()),
        offset: 0,
        value: Some(7),
    };
    assert_eq!(spin.reads, [expected]);
}

/// Wherever in the loop the vCPU is stopped, the loop and its variable are the same, and so is the
/// caller, although this function has no frame.
#[test]
fn every_place_in_the_loop_gives_the_same_answer() {
    let (memory, system) = tsc_sync_guest();
    let symbols = tsc_sync_symbols();
    let word = |address: u64, word: u64| put_kernel(&memory, address, &word.to_le_bytes());
    word(STACK, TEXT + 0x34);
    word(STACK + 8, 0);
    word(STACK + 16, TEXT + 0x49);
    for rip in [0x0b, 0x0d, 0x13, 0x16] {
        let rip = TEXT + rip;
        let registers = Registers { rip, rsp: STACK, rbp: STACK + 8, ..Registers::default() };
        let spin = Spin::analyse(&Observation {
            registers: &registers,
            system: &system,
            activity: Activity::Running,
            sampled: &[],
            memory: &memory,
            inspector: &Some(Arc::clone(&symbols)).into(),
        });
        assert!(spin.to_string().starts_with("is in a loop in tsc_sync_master+"), "{spin}");
        assert_eq!(spin.around.map(|around| around.start), Some(TEXT + 0x0b));
        assert_eq!(spin.reads.len(), 1);
        let frames = addresses(unwinder().unwind(&registers, &system, &memory));
        assert_eq!(frames, [rip, TEXT + 0x34, TEXT + 0x49]);
    }
}

fn analyse(
    code: &[u8],
    at: u64,
    registers: Registers,
    change: impl Fn(&mut SystemRegisters),
) -> Spin {
    let (memory, mut system) = guest();
    change(&mut system);
    put_kernel(&memory, KERNEL, code);
    put_kernel(&memory, KERNEL + 0x1000, &0x1122_3344_5566_7788_u64.to_le_bytes());
    let registers = Registers { rip: KERNEL + at, ..registers };
    Spin::analyse(&Observation {
        registers: &registers,
        system: &system,
        activity: Activity::Running,
        sampled: &[],
        memory: &memory,
        inspector: &Inspector::default(),
    })
}

#[test]
fn operands_are_computed_from_registers_and_segment_bases() {
    let rbx = KERNEL + 0x0fe0;
    let registers = Registers { rbx, rcx: 4, ..Registers::default() };
    // 1: cmpw $0,0x10(%rbx,%rcx,4); 2: jne 1b
    let spin = analyse(&[0x66, 0x83, 0x7c, 0x8b, 0x10, 0x00, 0x75, 0xf8], 0, registers, |_| {});
    let read = (spin.reads[0].address, spin.reads[0].size, spin.reads[0].value);
    assert_eq!(read, (KERNEL + 0x1000, 2, Some(0x7788)));
    // 1: cmpb $0,%gs:0x10; jne 1b
    let code = [0x65, 0x80, 0x3c, 0x25, 0x10, 0, 0, 0, 0x00, 0x75, 0xf5];
    let spin = analyse(&code, 9, Registers::default(), |system| {
        system.gs.base = KERNEL + 0x0ff0;
        system.ds.base = 0x1234;
    });
    let read = (spin.reads[0].address, spin.reads[0].size, spin.reads[0].value);
    assert_eq!(read, (KERNEL + 0x1000, 1, Some(0x88)));
}

#[test]
fn locked_exchanges_read_and_jumps_to_themselves_read_nothing() {
    // 1: lock cmpxchg %rdx,(%rbx); jne 1b
    let registers = Registers { rbx: KERNEL + 0x1000, ..Registers::default() };
    let spin = analyse(&[0xf0, 0x48, 0x0f, 0xb1, 0x13, 0x75, 0xf9], 0, registers, |_| {});
    assert_eq!(spin.reads[0].value, Some(0x1122_3344_5566_7788));
    assert!(spin.to_string().starts_with(
        "is in a loop in 0xfffffffffb800000: lock cmpxchg %rdx,(%rbx); reads 0xfffffffffb801000, 8 bytes"
    ));
    // jmp .
    let spin = analyse(&[0xeb, 0xfe], 0, registers, |_| {});
    assert_eq!(spin.around.map(|around| around.end), Some(KERNEL + 2));
    assert!(spin.reads.is_empty());
}

#[test]
fn an_address_that_the_loop_computes_is_known_only_at_rip() {
    // 1: mov (%rbx),%rbx; 2: test %rbx,%rbx; jne 1b
    let code = [0x48, 0x8b, 0x1b, 0x48, 0x85, 0xdb, 0x75, 0xf8];
    let registers = Registers { rbx: KERNEL + 0x1000, ..Registers::default() };
    assert_eq!(analyse(&code, 0, registers, |_| {}).reads.len(), 1);
    let later = analyse(&code, 3, registers, |_| {});
    assert!(later.around.is_some() && later.reads.is_empty());
}

#[test]
fn without_a_loop_the_instruction_itself_is_shown() {
    // mov (%rbx),%rax; ret
    let registers = Registers { rbx: KERNEL + 0x1000, ..Registers::default() };
    let spin = analyse(&[0x48, 0x8b, 0x03, 0xc3], 0, registers, |_| {});
    assert_eq!(spin.around, None);
    assert_eq!(spin.reads.len(), 1);
    assert!(spin.to_string().starts_with("is in 0xfffffffffb800000: mov (%rbx),%rax; reads"));
}

#[test]
fn vcpus_that_do_not_run() {
    let (memory, system) = tsc_sync_guest();
    let symbols = tsc_sync_symbols();
    let registers = Registers { rip: TEXT + 0x4a, ..Registers::default() };
    let analyse = |activity| {
        Spin::analyse(&Observation {
            registers: &registers,
            system: &system,
            activity,
            sampled: &[],
            memory: &memory,
            inspector: &Some(Arc::clone(&symbols)).into(),
        })
    };
    assert_eq!(analyse(Activity::Halted).to_string(), "halted in mp_idle+0x1 (start.S:8)");
    assert_eq!(analyse(Activity::WaitForSipi).to_string(), "never started");
    let json = serde_json::to_string(&analyse(Activity::Halted)).expect("JSON");
    assert_eq!(
        json,
        r#"{"activity":"halted","at":{"address":"0xfffffffffb85404a","function":"mp_idle","offset":1,"file":"/usr/src/uts/start.S","line":8},"instruction":"hlt","spins":false,"reads":[]}"#
    );
}

proptest! {
    #[test]
    fn any_code_and_any_registers_are_survived(
        code in proptest::collection::vec(any::<u8>(), 1..300),
        at in 0_u64..300, numbers: [u64; 8], sampled in proptest::collection::vec(0_u64..300, 0..5),
        access: u32, long: bool,
    ) {
        let (memory, mut system) = guest();
        put_kernel(&memory, KERNEL, &code);
        system.cs = Segment { access, base: numbers[0], ..Segment::default() };
        system.efer = if long { system.efer } else { 0 };
        let rip = if long { KERNEL + at } else { numbers[7] };
        let [rax, rbx, rcx, rdx, rsi, rdi, r8, _] = numbers;
        let registers = Registers { rax, rbx, rcx, rdx, rsi, rdi, r8, rip, ..Default::default() };
        let sampled: Vec<u64> = sampled.into_iter().map(|at| KERNEL + at).collect();
        let spin = Spin::analyse::<Memory>(&Observation {
            registers: &registers,
            system: &system,
            activity: Activity::Running,
            sampled: &sampled,
            memory: &memory,
            inspector: &Inspector::default(),
        });
        prop_assert!(!spin.to_string().is_empty());
    }
}
