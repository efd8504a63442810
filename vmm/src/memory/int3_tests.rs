use super::*;
use crate::memory::MemorySize;

const AT: u64 = 0x10_0000;

fn memory() -> Memory {
    let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    memory.write(AT - 4, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    memory.take_written(|_| ());
    memory
}

fn seen(memory: &Memory) -> [u8; 8] {
    let mut bytes = [0; 8];
    memory.read(AT - 4, &mut bytes).unwrap();
    bytes
}

#[test]
fn only_the_guest_sees_it_and_no_page_is_written() {
    let memory = memory();
    memory.insert_int3(AT).unwrap();
    memory.insert_int3(AT).unwrap();
    assert_eq!((memory.executed(AT), seen(&memory)), (INT3, [1, 2, 3, 4, 5, 6, 7, 8]));
    memory.remove_int3(AT).unwrap();
    memory.remove_int3(AT).unwrap();
    assert_eq!((memory.executed(AT), seen(&memory)), (5, [1, 2, 3, 4, 5, 6, 7, 8]));
    memory.take_written(|page| panic!("{page:#x} is written"));
}

#[test]
fn a_written_page_stays_written() {
    let memory = memory();
    memory.write(AT, &[5]).unwrap();
    memory.insert_int3(AT).unwrap();
    memory.remove_int3(AT).unwrap();
    let mut pages = Vec::new();
    memory.take_written(|page| pages.push(page));
    assert_eq!(pages, [AT]);
}

#[test]
fn a_write_goes_below_it() {
    let memory = memory();
    memory.insert_int3(AT).unwrap();
    memory.write(AT - 1, &[14, 15, 16]).unwrap();
    memory.write(AT + 2, &[17]).unwrap();
    assert_eq!((memory.executed(AT), seen(&memory)), (INT3, [1, 2, 3, 14, 15, 16, 17, 8]));
    memory.write(AT, &[INT3]).unwrap();
    memory.remove_int3(AT).unwrap();
    assert_eq!((memory.executed(AT), seen(&memory)[4]), (INT3, INT3), "the guest's own");
}
