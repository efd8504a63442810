use vmm::memory::Memory;
use vmm::registers::SystemRegisters;

use super::*;
use crate::Inspector;
use crate::linux::btf::tests::whole;
use crate::linux::test_kernel::{Form, IMAGE, SYMBOLS, guest, put, symbols, tables};

/// The data of the vCPU, its task, and the description of the types.
const DATA: u64 = IMAGE + 0x11_0000;
const TASK: u64 = IMAGE + 0x12_0000;
const TYPES: u64 = IMAGE + 0x13_0000;
/// The offset of the pointer in the vCPU's data: of `current_task`, and of `pcpu_hot`.
const CURRENT: u64 = 0x1_fb80;
const HOT: u64 = 0x40;

/// `struct task_struct { pid at 0x10; tgid at 0x14; comm at 0x20 }` and
/// `struct pcpu_hot { current_task at 8 }`.
fn types() -> Vec<u8> {
    const STRUCT: u32 = 4 << 24;
    let names = b"\0task_struct\0pid\0tgid\0comm\0pcpu_hot\0current_task\0";
    let task = [1, STRUCT | 3, 0x30, 13, 0, 0x80, 17, 0, 0xa0, 22, 0, 0x100];
    let hot = [27, STRUCT | 1, 0x40, 36, 0, 64];
    whole(&[&task[..], &hot].concat(), names)
}

/// A kernel whose vCPU runs process 7, thread 9. With `is_hot`, the pointer to it is in `pcpu_hot`.
fn running(types: &[u8], is_hot: bool) -> (Memory, SystemRegisters) {
    let (memory, system) = guest();
    let mut symbols = symbols();
    if is_hot {
        symbols[0] = (HOT, "Apcpu_hot".into());
    }
    let end = symbols.pop().expect("symbols");
    symbols.push((TYPES, "R__start_BTF".into()));
    symbols.push((TYPES + types.len() as u64, "R__stop_BTF".into()));
    let end_of_image = (TYPES + 0x1000, end.1);
    symbols.push(end_of_image);
    put(&memory, SYMBOLS, &tables(Form::Before, &symbols));
    put(&memory, TYPES, types);
    let pointer = if is_hot { DATA + HOT + 8 } else { DATA + CURRENT };
    put(&memory, pointer, &TASK.to_le_bytes());
    put(&memory, TASK + 0x10, &9_u32.to_le_bytes());
    put(&memory, TASK + 0x14, &7_u32.to_le_bytes());
    put(&memory, TASK + 0x20, b"busybox\0left over");
    (memory, system)
}

#[test]
fn the_task_is_found_by_either_pointer() {
    for is_hot in [false, true] {
        let (memory, system) = running(&types(), is_hot);
        let task = Inspector::default().task(&system, DATA, &memory);
        let expected = Task { address: TASK, process: 7, thread: 9, name: b"busybox".to_vec() };
        assert_eq!(task, Ok(expected), "{is_hot}");
    }
}

#[test]
fn why_there_is_no_task() {
    let problem = |types: &[u8], data: u64, change: &dyn Fn(&Memory)| {
        let (memory, system) = running(types, false);
        change(&memory);
        Inspector::default().task(&system, data, &memory).expect_err("no task")
    };
    let nothing = |_: &Memory| ();
    assert!(problem(&types()[1..], DATA, &nothing).contains("BTF"));
    assert!(problem(&whole(&[], b"\0"), DATA, &nothing).contains("does not describe"));
    assert!(problem(&types(), 0, &nothing).contains("no task"));
    // Before the kernel has set the pointer, it is 0.
    let unset = |memory: &Memory| put(memory, DATA + CURRENT, &[0; 8]);
    assert!(problem(&types(), DATA, &unset).contains("no task"));
    let (memory, system) = guest();
    let problem = Inspector::default().task(&system, DATA, &memory).expect_err("no kernel");
    assert!(problem.contains("kernel"));
}
