use super::*;
use crate::memory::MemorySize;

#[test]
fn code_reads_as_it_was_loaded() {
    let mut memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    memory.write(0x1000, &[0x90, 0x0f, 0x31, 0xc3, 0x0f, 0x31]).unwrap();
    memory.patch(0x1004, &[0xe6, 0xf1]).unwrap();
    memory.patch(0x1001, &[0xe6, 0xf1]).unwrap();
    let mut now = [0; 6];
    memory.read(0x1000, &mut now).unwrap();
    assert_eq!(now, [0x90, 0xe6, 0xf1, 0xc3, 0xe6, 0xf1]);
    memory.as_loaded().read(0x1000, &mut now).unwrap();
    assert_eq!(now, [0x90, 0x0f, 0x31, 0xc3, 0x0f, 0x31]);
    // From the middle of one patch to the middle of another.
    let mut part = [0; 3];
    memory.as_loaded().read(0x1002, &mut part).unwrap();
    assert_eq!(part, [0x31, 0xc3, 0x0f]);
    // Bytes that the guest has written there itself are not changed.
    memory.write(0x1001, &[0xcc, 0xcc]).unwrap();
    memory.unpatch().unwrap();
    memory.read(0x1000, &mut now).unwrap();
    assert_eq!(now, [0x90, 0xcc, 0xcc, 0xc3, 0x0f, 0x31]);
    assert_eq!(memory.patched(), 2);
}
