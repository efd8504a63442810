use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::memory::{INT3, MemorySize};

const AT: u64 = 0x10_0000;
const NOP: u8 = 0x90;

fn place(at: u64) -> Place {
    Place { linear: at, at, opcode: NOP }
}

fn memory() -> Memory {
    let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    memory.write(AT, &[NOP; 16]).unwrap();
    memory
}

#[test]
fn who_is_alone_executes_the_instruction_and_all_others_stay_replaced() {
    let (gate, memory) = (Gate::default(), memory());
    gate.want(&[], &[place(AT), place(AT + 1)], &memory).unwrap();
    let seen = || Ok([memory.executed(AT), memory.executed(AT + 1), memory.executed(AT + 2)]);
    assert_eq!(gate.together(0, &memory, seen).unwrap(), [INT3, INT3, NOP]);
    assert_eq!(gate.alone(0, &memory, AT, seen).unwrap(), [NOP, INT3, NOP]);
    assert_eq!(gate.together(0, &memory, seen).unwrap(), [INT3, INT3, NOP]);
    gate.clear(&memory).unwrap();
    assert_eq!(seen().unwrap(), [NOP; 3]);
}

#[test]
fn what_one_vcpu_wants_stays_until_no_vcpu_wants_it() {
    let (gate, memory) = (Gate::default(), memory());
    let first = [place(AT)];
    gate.want(&[], &first, &memory).unwrap();
    gate.together(0, &memory, || Ok(())).unwrap();
    gate.want(&[], &first, &memory).unwrap();
    gate.want(&first, &[], &memory).unwrap();
    assert_eq!(memory.executed(AT), INT3);
    gate.want(&first, &[place(AT + 1)], &memory).unwrap();
    assert_eq!((memory.executed(AT), memory.executed(AT + 1)), (NOP, INT3));
    // Also if the last vCPU stops wanting it while another is alone.
    gate.alone(0, &memory, AT + 1, || gate.want(&[place(AT + 1)], &[], &memory)).unwrap();
    assert_eq!(memory.executed(AT + 1), NOP);
}

#[test]
fn a_store_that_moves_the_instructions_takes_the_int3_out() {
    let (gate, memory) = (Gate::default(), memory());
    let code = Code::of_bytes(AT..AT + 1);
    // The second address is not known to be an instruction.
    gate.want(&[], &[place(AT), place(AT + 1)], &memory).unwrap();
    gate.together(0, &memory, || Ok(())).unwrap();
    // NOP and CMC.
    gate.store(0, &memory, (AT, &[0x90, 0xf5]), &code).unwrap();
    gate.together(0, &memory, || Ok(())).unwrap();
    assert_eq!((memory.executed(AT), memory.executed(AT + 1)), (INT3, 0xf5));
    let mut bytes = [0; 2];
    memory.read(AT, &mut bytes).unwrap();
    assert_eq!((bytes, code.stores()), ([0x90, 0xf5], 1));
}

/// Two vCPUs that stay in the guest until they are kicked.
#[test]
fn nobody_else_is_in_the_guest_while_one_is_alone() {
    const TIMES: u32 = 50;
    let kicked: Arc<[AtomicBool; 2]> = Arc::default();
    let gate = {
        let kicked = kicked.clone();
        Gate::kicking(Arc::new(move |vcpu| kicked[vcpu as usize].store(true, Ordering::SeqCst)))
    };
    let memory = memory();
    gate.want(&[], &[place(AT)], &memory).unwrap();
    let (inside, entries) = (AtomicU32::new(0), AtomicU32::new(0));
    let finished = AtomicU32::new(0);
    let enter = |vcpu: u32| {
        gate.together(vcpu, &memory, || {
            assert_eq!(memory.executed(AT), INT3);
            inside.fetch_add(1, Ordering::SeqCst);
            entries.fetch_add(1, Ordering::SeqCst);
            while !kicked[vcpu as usize].swap(false, Ordering::SeqCst)
                && finished.load(Ordering::SeqCst) == 0
            {
                thread::yield_now();
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while finished.load(Ordering::SeqCst) == 0 {
                enter(1).unwrap();
            }
        });
        for _ in 0..TIMES {
            gate.alone(0, &memory, AT, || {
                assert_eq!((inside.load(Ordering::SeqCst), memory.executed(AT)), (0, NOP));
                Ok(())
            })
            .unwrap();
        }
        finished.store(1, Ordering::SeqCst);
    });
    assert!(entries.into_inner() > 1, "the other runs in between");
}
