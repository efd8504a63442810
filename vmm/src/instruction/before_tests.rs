use super::super::tests::{memory, modes};
use super::*;

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
