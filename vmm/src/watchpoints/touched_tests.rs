use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::*;
use crate::memory::MemorySize;
use crate::scripted::ScriptedCpu;

const TABLES: u64 = 0x10_0000;
const CODE: u64 = 0x8000;
/// More instructions than a decoder needs before the one that is looked for.
const NOPS: usize = 80;
const DATA: u64 = 0x5010;

fn at(linear: u64, length: Length, stores_only: bool) -> Watchpoint {
    Watchpoint { linear, physical: linear, length, stores_only }
}

/// The watchpoints for loads and stores of 8 bytes.
fn both() -> Vec<Watchpoint> {
    vec![at(DATA, Length::Eight, true), at(DATA, Length::Eight, false)]
}

/// A vCPU that has executed an instruction.
struct After {
    memory: Memory,
    cpu: ScriptedCpu,
    /// The address of the instruction.
    start: u64,
}

impl After {
    fn new(instruction: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Self {
        let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
        let mut cpu = ScriptedCpu::with_paging(&memory, TABLES).unwrap();
        let mut a = CodeAssembler::new(64).unwrap();
        (0..NOPS).for_each(|_| a.nop().unwrap());
        instruction(&mut a).unwrap();
        let code = a.assemble(CODE).unwrap();
        memory.write(CODE, &code).unwrap();
        cpu.registers.rip = CODE + code.len() as u64;
        Self { memory, cpu, start: CODE + NOPS as u64 }
    }

    fn with(mut self, set: impl FnOnce(&mut Registers)) -> Self {
        set(&mut self.cpu.registers);
        self
    }

    /// The accesses, and the report, after these watchpoints were hit on one of two vCPUs.
    fn hit(&mut self, watchpoints: &[Watchpoint], hits: u8) -> (Vec<Access>, WatchReport) {
        let mut watching = Watching::new(watchpoints, 2);
        let accesses = watching.accesses(hits, &mut self.cpu, &self.memory).unwrap();
        (accesses.to_vec(), watching.report(&self.cpu.system_registers, &self.memory))
    }
}

/// What matters of an access: address, size, whether it is a store, RIP.
fn told(accesses: &[Access]) -> Vec<(u64, u8, bool, u64)> {
    let tell = |it: &Access| (it.address, it.size, it.write, it.rip);
    accesses.iter().inspect(|it| assert!(it.exact, "{it:?}")).map(tell).collect()
}

#[test]
fn where_an_access_begins_and_its_size_come_from_the_instruction() {
    let mut store = After::new(|a| a.mov(dword_ptr(rbx + 4), eax)).with(|r| r.rbx = DATA);
    let rip = store.cpu.registers.rip;
    assert_eq!(told(&store.hit(&both(), 0b11).0), [(DATA + 4, 4, true, rip)]);
    // It begins before the watched bytes.
    let mut store = After::new(|a| a.mov(qword_ptr(rbx - 4), rax)).with(|r| r.rbx = DATA);
    assert_eq!(told(&store.hit(&both(), 0b11).0), [(DATA - 4, 8, true, store.cpu.registers.rip)]);
    // RIP is at a load, and its result doesn't matter.
    let mut load = After::new(|a| a.movzx(eax, word_ptr(rbx))).with(|r| r.rbx = DATA);
    assert_eq!(told(&load.hit(&both(), 0b10).0), [(DATA, 2, false, load.start)]);
}

#[test]
fn an_instruction_that_reads_and_writes_is_two_accesses() {
    let mut inc = After::new(|a| a.inc(qword_ptr(rbx))).with(|r| r.rbx = DATA);
    let (start, rip) = (inc.start, inc.cpu.registers.rip);
    let expected = [(DATA, 8, false, start), (DATA, 8, true, rip)];
    assert_eq!(told(&inc.hit(&both(), 0b11).0), expected);
    // At a locked one, RIP is at the instruction for both.
    let mut add = After::new(|a| a.lock().xadd(qword_ptr(rbx), rax)).with(|r| r.rbx = DATA);
    let (accesses, _) = add.hit(&both(), 0b11);
    assert_eq!(told(&accesses), [(DATA, 8, false, add.start), (DATA, 8, true, add.start)]);
    assert!(accesses.iter().all(|it| it.locked));
}

/// The registers are those after the instruction: what it changed of an address is known for stacks
/// and strings only.
#[test]
fn an_address_that_the_instruction_changed() {
    let mut push = After::new(|a| a.push(rax)).with(|r| r.rsp = DATA);
    assert_eq!(told(&push.hit(&both(), 0b11).0), [(DATA, 8, true, push.cpu.registers.rip)]);
    let mut pop = After::new(|a| a.pop(rax)).with(|r| r.rsp = DATA + 8);
    assert_eq!(told(&pop.hit(&both(), 0b10).0), [(DATA, 8, false, pop.start)]);
    let mut string = After::new(CodeAssembler::stosd).with(|r| r.rdi = DATA + 4);
    assert_eq!(told(&string.hit(&both(), 0b11).0), [(DATA, 4, true, string.cpu.registers.rip)]);
    let backwards = |r: &mut Registers| (r.rdi, r.rflags) = (DATA - 4, 1 << 10);
    let mut string = After::new(CodeAssembler::stosd).with(backwards);
    assert_eq!(told(&string.hit(&both(), 0b11).0), [(DATA, 4, true, string.cpu.registers.rip)]);
    for mut unknown in [
        After::new(|a| a.mov(rbx, qword_ptr(rbx))).with(|r| r.rbx = DATA),
        After::new(|a| a.mov(ebx, dword_ptr(rax + rbx))).with(|r| r.rax = DATA),
        After::new(|a| a.pop(rsp)).with(|r| r.rsp = DATA + 8),
    ] {
        let (accesses, report) = unknown.hit(&both(), 0b10);
        assert_eq!((accesses.len(), report.inexact), (1, 1), "{accesses:?}");
        assert!(!accesses[0].exact && !accesses[0].write, "{accesses:?}");
    }
}

#[test]
fn a_repeated_string_instruction_is_counted_as_such() {
    let code = |a: &mut CodeAssembler| a.rep().stosb();
    // It has ended, or has more to do: then RIP is at it.
    for (more, back) in [(0, 0), (5, 2)] {
        let mut string = After::new(code).with(|r| (r.rdi, r.rcx) = (DATA + 3, more));
        string.cpu.registers.rip -= back;
        let (accesses, report) = string.hit(&both(), 0b11);
        let rip = string.cpu.registers.rip;
        assert_eq!((told(&accesses), report.repeated), (vec![(DATA + 2, 1, true, rip)], 1));
    }
}

/// After a jump through memory, or a return from a watched stack, the instruction before RIP is
/// another.
#[test]
fn an_instruction_that_does_not_explain_the_hit_is_not_believed() {
    let elsewhere = || After::new(|a| a.mov(qword_ptr(rbx), rax)).with(|r| r.rbx = DATA + 8);
    let (accesses, report) = elsewhere().hit(&both(), 0b10);
    let [load] = accesses[..] else { panic!("{accesses:?}") };
    assert!(!load.exact && !load.write && load.address == DATA, "{load:?}");
    assert_eq!((report.inexact, report.unreported), (1, 0));
    // A store that may have been a load, too.
    let (accesses, report) = elsewhere().hit(&both(), 0b11);
    let [store] = accesses[..] else { panic!("{accesses:?}") };
    assert!(!store.exact && store.write && store.size == 8, "{store:?}");
    assert_eq!((report.inexact, report.unreported), (1, 1));
    // Without a watchpoint for stores, it isn't known whether it was a load.
    let (accesses, report) = elsewhere().hit(&both()[1..], 0b1);
    assert_eq!((accesses.len(), report.inexact, report.unreported), (0, 0, 1));
    // It would have hit the other watchpoint, too.
    let two = [at(DATA, Length::Eight, true), at(DATA + 8, Length::Eight, true)];
    let mut wide = After::new(|a| a.movups(xmmword_ptr(rbx), xmm0)).with(|r| r.rbx = DATA);
    assert_eq!(wide.hit(&two, 0b01).1.inexact, 1);
    let (accesses, report) = wide.hit(&two, 0b11);
    assert_eq!((told(&accesses).len(), report.inexact), (2, 0));
    // The bit may be anywhere.
    let mut bit = After::new(|a| a.bts(qword_ptr(rbx), rax)).with(|r| r.rbx = DATA);
    assert_eq!(bit.hit(&both(), 0b11).1.inexact, 1);
    let mut jump = After::new(|a| a.jmp(qword_ptr(rbx))).with(|r| r.rbx = DATA);
    assert_eq!(jump.hit(&both(), 0b10).1.inexact, 1);
}

#[test]
fn other_memory_at_the_same_linear_address_is_not_meant() {
    let mut store = After::new(|a| a.mov(qword_ptr(rbx), rax)).with(|r| r.rbx = DATA);
    let meant = [Watchpoint { physical: DATA + 0x1000, ..both()[0] }];
    let (accesses, report) = store.hit(&meant, 1);
    assert!(accesses.is_empty());
    assert_eq!((report.exits, report.inexact, report.unreported), (1, 0, 0));
    // The memory that is meant is at its own address, which has no watchpoint.
    assert_eq!(report.other_addresses, [DATA + 0x1000]);
    assert!(store.hit(&both(), 0b11).1.other_addresses.is_empty());
}

#[test]
fn only_a_single_vcpu_s_stores_have_a_value() {
    let store = || After::new(|a| a.mov(dword_ptr(rbx), eax)).with(|r| r.rbx = DATA);
    for (vcpus, value) in [(1, 0x1234_5678), (2, 0)] {
        let mut after = store();
        after.memory.write(DATA, &0xffff_1234_5678u64.to_le_bytes()).unwrap();
        let mut watching = Watching::new(&both(), vcpus);
        let accesses = watching.accesses(0b11, &mut after.cpu, &after.memory).unwrap();
        assert_eq!(accesses.iter().map(|it| it.value).collect::<Vec<_>>(), [value]);
    }
}
