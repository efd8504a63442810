use iced_x86::code_asm::*;

use super::*;
use crate::controlled::test_guest::{Assembled, DATA, Guest, LAPIC, LOW_PD, SHARED, end};
use crate::controlled::testing::{machine, random};
use crate::controlled::{Choice, Point};
use crate::end::End;

const BUDGET: u64 = 100_000;

/// Continues at random; returns the result of the run, and the choices.
fn run(machine: &mut ControlledMachine, seed: u64) -> ((End, u64, u64), Vec<Choice>) {
    let mut random = random(seed);
    let mut choices = Vec::new();
    let mut choose = |point: &Point| {
        let choice = random(point);
        choices.push(choice);
        choice
    };
    let ending = machine.run(&mut choose, BUDGET).unwrap();
    ((ending, machine.points(), machine.hash()), choices)
}

/// Follows these choices from the start.
fn follow(guest: &str, choices: &[Choice]) -> (End, u64, u64) {
    let mut machine = machine(guest);
    let mut next = choices.iter();
    let ending = machine.run(&mut |_: &Point| *next.next().unwrap(), BUDGET).unwrap();
    (ending, machine.points(), machine.hash())
}

/// Runs to the mark, with the vCPUs taking turns.
fn to_mark(machine: &mut ControlledMachine) -> Vec<Choice> {
    let mut choices = Vec::new();
    let mut choose = |point: &Point| {
        let after = |choice: &&Choice| point.last.is_none_or(|last| choice.vcpu() > last);
        let choice = *point.enabled.iter().find(after).unwrap_or(&point.enabled[0]);
        choices.push(choice);
        choice
    };
    assert_eq!(machine.run_to_mark(&mut choose, BUDGET).unwrap(), None);
    choices
}

#[test]
fn a_run_from_the_mark_is_the_one_from_the_start() {
    // Guests with a counter, an IPI, page tables, INIT and SIPI after the mark, and a triple fault.
    for guest in ["lost-update", "lost-wakeup", "tlb-shootdown", "tsc-sync", "ap-stack"] {
        let mut machine = machine(guest);
        let prefix = to_mark(&mut machine);
        let snapshot = machine.save().unwrap();
        assert!(snapshot.bytes() > 0 && snapshot.points() == prefix.len() as u64);
        for seed in 0..8 {
            machine.restore(&snapshot).unwrap();
            let (came_to, choices) = run(&mut machine, seed);
            let all: Vec<_> = prefix.iter().chain(&choices).copied().collect();
            assert_eq!(follow(guest, &all), came_to, "{guest}, seed {seed}");
        }
    }
}

#[test]
fn a_run_from_the_middle_is_the_one_from_the_start() {
    for guest in ["lost-update", "tlb-shootdown", "tsc-sync", "irq-mainline"] {
        let mut machine = machine(guest);
        let start = machine.save().unwrap();
        assert_eq!(start.points(), 0);
        let (came_to, choices) = run(&mut machine, 1);
        // A snapshot every few points, wherever that is, and then restores between them.
        let mut snapshots = Vec::new();
        machine.restore(&start).unwrap();
        let mut next = choices.iter();
        while machine.points() + 7 < came_to.1 {
            let budget = machine.points() + 7;
            let ending = machine.run(&mut |_: &Point| *next.next().unwrap(), budget).unwrap();
            assert_eq!(ending, End::Budget);
            snapshots.push(machine.save().unwrap());
        }
        assert!(snapshots.len() > 3, "{guest}");
        for snapshot in snapshots.iter().rev().chain(&snapshots) {
            machine.restore(snapshot).unwrap();
            let mut next = choices[snapshot.points() as usize..].iter();
            let ending = machine.run(&mut |_: &Point| *next.next().unwrap(), BUDGET).unwrap();
            let now = (ending, machine.points(), machine.hash());
            assert_eq!(now, came_to, "{guest}, from point {}", snapshot.points());
        }
    }
}

#[test]
fn another_machines_snapshot_is_refused() {
    let snapshot = machine("lost-update").save().unwrap();
    let error = machine("lost-update").restore(&snapshot).unwrap_err();
    assert_eq!(error.to_string(), "no snapshot: it is another machine's");
}

/// Runs this code to its mark, and from there several times; every run must be the same.
fn runs_alike(code: impl FnOnce(&mut CodeAssembler) -> Assembled) {
    let mut machine = Guest::new(|a| {
        code(a)?;
        end(a, 0)
    })
    .machine();
    let first = |point: &Point| point.enabled[0];
    assert_eq!(machine.run_to_mark(&mut { first }, BUDGET).unwrap(), None);
    let snapshot = machine.save().unwrap();
    let mut runs = Vec::new();
    for _ in 0..3 {
        machine.restore(&snapshot).unwrap();
        assert_eq!(machine.run(&mut { first }, BUDGET).unwrap(), End::Guest { code: 0 });
        runs.push((machine.points(), machine.hash()));
    }
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:x?}");
}

const MARK: u32 = 0xf5;

#[test]
fn translations_are_forgotten_with_the_tables() {
    const LINEAR: u64 = 0x20_0000;
    runs_alike(|a| {
        a.mov(dword_ptr(LINEAR), 7)?;
        a.out(MARK, al)?;
        a.mov(eax, dword_ptr(LINEAR))?;
        a.mov(dword_ptr(SHARED), eax)?;
        // From now on, another page is mapped there, which is empty.
        a.mov(dword_ptr(LOW_PD + 8), 0x87)?;
        a.invlpg(byte_ptr(LINEAR))?;
        a.mov(eax, dword_ptr(LINEAR + 0x800))?;
        a.mov(dword_ptr(SHARED), eax)?;
        a.mov(eax, dword_ptr(LINEAR))?;
        a.mov(dword_ptr(SHARED), eax)
    });
}

#[test]
fn msrs_and_debug_registers_come_back() {
    const SYSENTER_CS: u32 = 0x174;
    runs_alike(|a| {
        a.out(MARK, al)?;
        a.mov(ecx, SYSENTER_CS)?;
        a.rdmsr()?;
        a.mov(dword_ptr(SHARED), eax)?;
        a.mov(rax, dr1)?;
        a.mov(qword_ptr(SHARED), rax)?;
        a.mov(eax, 5)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
        a.mov(dr1, rax)
    });
    runs_alike(|a| {
        a.out(MARK, al)?;
        a.mov(ecx, SYSENTER_CS)?;
        a.rdmsr()?;
        a.mov(dword_ptr(SHARED), eax)?;
        a.mov(eax, 5)?;
        a.xor(edx, edx)?;
        a.wrmsr()
    });
}

#[test]
fn interrupt_flag_lapic_and_console_come_back() {
    runs_alike(|a| {
        a.mov(edx, 0x3ff)?;
        a.out(MARK, al)?;
        // The UART's scratch register, the LAPIC's task priority, the flags.
        a.in_(al, dx)?;
        a.mov(dword_ptr(SHARED), eax)?;
        a.mov(al, 0x33)?;
        a.out(dx, al)?;
        a.mov(ebx, (LAPIC + 0x80) as u32)?;
        a.mov(eax, dword_ptr(rbx))?;
        a.mov(dword_ptr(SHARED), eax)?;
        a.mov(dword_ptr(rbx), 0x20)?;
        a.pushfq()?;
        a.pop(rax)?;
        a.mov(qword_ptr(SHARED), rax)?;
        a.std()
    });
}

/// Code in which every scheduling point is of another kind.
fn all_kinds(a: &mut CodeAssembler) -> Assembled {
    a.cld()?;
    a.mov(dword_ptr(SHARED), 0x1234)?;
    a.push(qword_ptr(SHARED))?;
    a.pop(rcx)?;
    a.lock().xadd(dword_ptr(SHARED), ecx)?;
    a.inc(dword_ptr(SHARED + 8))?;
    a.xchg(dword_ptr(SHARED + 8), eax)?;
    a.mov(edx, 0x3fd)?;
    a.in_(al, dx)?;
    a.mov(byte_ptr(SHARED + 12), al)?;
    a.mov(al, b'x' as i32)?;
    a.mov(edx, 0x3f8)?;
    a.out(dx, al)?;
    // From shared memory to private memory, back, and within shared memory.
    a.mov(rsi, SHARED)?;
    a.mov(rdi, DATA)?;
    a.mov(ecx, 3)?;
    a.rep().movsd()?;
    a.mov(rsi, DATA)?;
    a.mov(rdi, SHARED + 0x40)?;
    a.mov(ecx, 3)?;
    a.rep().movsd()?;
    a.mov(rsi, SHARED)?;
    a.mov(ecx, 3)?;
    a.rep().movsd()?;
    a.mov(ebx, (LAPIC + 0x80) as u32)?;
    a.mov(eax, dword_ptr(rbx))?;
    a.mov(dword_ptr(rbx), eax)?;
    a.mov(rsi, SHARED)?;
    a.lodsq()?;
    a.lock().cmpxchg8b(qword_ptr(SHARED + 0x10))?;
    a.mov(rbx, SHARED)?;
    a.add(dword_ptr(rbx + 4), eax)
}

#[test]
fn a_snapshot_can_be_taken_before_every_kind_of_access() {
    let guest = Guest::new(|a| {
        all_kinds(a)?;
        end(a, 0)
    });
    let first = |point: &Point| point.enabled[0];
    let mut machine = guest.machine();
    assert_eq!(machine.run(&mut { first }, BUDGET).unwrap(), End::Guest { code: 0 });
    let came_to = (machine.points(), machine.hash());
    assert!(came_to.0 > 25, "{came_to:?}");
    let mut machine = guest.machine();
    for point in 0..came_to.0 {
        let snapshot = machine.save().unwrap();
        for _ in 0..2 {
            assert_eq!(machine.run(&mut { first }, BUDGET).unwrap(), End::Guest { code: 0 });
            assert_eq!((machine.points(), machine.hash()), came_to, "from point {point}");
            machine.restore(&snapshot).unwrap();
        }
        machine.run(&mut { first }, point + 1).unwrap();
    }
}

#[test]
fn the_second_of_two_shared_loads_is_no_place_for_a_snapshot() {
    let mut machine = Guest::new(|a| {
        a.mov(rsi, SHARED)?;
        a.mov(rdi, SHARED + 8)?;
        a.cmpsb()?;
        end(a, 0)
    })
    .machine();
    let mut first = |point: &Point| point.enabled[0];
    machine.run(&mut first, 2).unwrap();
    machine.save().unwrap();
    machine.run(&mut first, 3).unwrap();
    let error = machine.save().unwrap_err().to_string();
    assert!(
        error.starts_with("no snapshot: vCPU 0 at 0x1100") && error.contains("begun"),
        "{error}"
    );
}
