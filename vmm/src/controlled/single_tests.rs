use std::path::Path;

use iced_x86::code_asm::*;

use super::*;
use crate::controlled::test_guest::{
    Assembled, CODE, DATA, END, GDT, Guest, LAPIC, end, start_others,
};
use crate::controlled::testing::{machine_at, random};
use crate::controlled::{ControlledMachine, Granularity, Point, Waits};
use crate::doctor;
use crate::end::{End, HangEvidence};
use crate::kvm::{Host, host};

const BUDGET: u64 = 100_000;

fn stepping() -> crate::kvm::StepCapabilities {
    doctor::stepping(&Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap()).unwrap()
}

/// Always takes the first choice.
fn first(point: &Point) -> Choice {
    point.enabled[0]
}

/// Runs code on one vCPU; returns the machine at the end of the run.
fn run_code(code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> ControlledMachine {
    run(&Guest::new(|a| {
        code(a)?;
        end(a, 0)
    }))
}

fn run(guest: &Guest) -> ControlledMachine {
    let mut machine = guest.clone().stepped().machine();
    assert_eq!(machine.run(&mut first, BUDGET).unwrap(), End::Guest { code: 0 });
    machine
}

fn word(machine: &ControlledMachine, address: u64) -> u64 {
    machine.memory().read_u64(address).unwrap()
}

/// The number of points that some code takes.
fn points(code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> u64 {
    run_code(code).points() - run_code(|_| Ok(())).points()
}

#[test]
fn each_instruction_is_a_point() {
    assert_eq!(points(CodeAssembler::nop), 1);
    // Accesses to devices, and the instructions behind them.
    let devices = points(|a| {
        a.out(0x80, al)?;
        a.nop()?;
        a.in_(al, 0x80)?;
        a.nop()?;
        a.mov(ebx, (LAPIC + 0x80) as u32)?;
        a.mov(eax, dword_ptr(rbx))?;
        a.nop()?;
        a.mov(dword_ptr(rbx), eax)?;
        a.nop()?;
        a.or(dword_ptr(rbx), 0x10)?;
        a.nop()
    });
    assert_eq!(devices, 11);
    // Instructions that read or write the trap flag.
    let flags = points(|a| {
        a.pushfq()?;
        a.popfq()?;
        a.nop()?;
        a.sti()?;
        a.nop()?;
        a.cli()?;
        a.nop()
    });
    assert_eq!(flags, 7);
    let branches = points(|a| {
        let (mut function, mut over) = (a.create_label(), a.create_label());
        a.call(function)?;
        a.jmp(over)?;
        a.set_label(&mut function)?;
        a.ret()?;
        a.set_label(&mut over)?;
        a.lea(rax, ptr(function))?;
        a.call(rax)?;
        a.mov(qword_ptr(DATA), rax)?;
        a.call(qword_ptr(DATA))?;
        a.nop()
    });
    assert_eq!(branches, 10);
    let moves = points(|a| {
        a.mov(rsi, DATA)?;
        a.mov(rdi, DATA + 0x100)?;
        a.mov(ecx, 20)?;
        a.rep().movsb()?;
        a.nop()
    });
    // A step is one repetition or many, depending on the host.
    assert!((5..=24).contains(&moves), "{moves}");
}

#[test]
fn the_trap_flag_is_not_seen() {
    let machine = run_code(|a| {
        a.pushfq()?;
        a.pop(rax)?;
        a.mov(qword_ptr(DATA), rax)?;
        a.sti()?;
        a.pushfq()?;
        a.pop(rax)?;
        a.mov(qword_ptr(DATA + 8), rax)
    });
    let flags = [word(&machine, DATA), word(&machine, DATA + 8)];
    assert_eq!(
        flags.map(|flags| flags & (Registers::INTERRUPT_FLAG | Registers::TRAP_FLAG)),
        [0, Registers::INTERRUPT_FLAG]
    );
}

#[test]
fn a_stack_segment_is_loaded() {
    let loaded = points(|a| {
        a.mov(eax, 0x10)?;
        a.mov(ss, ax)?;
        a.mov(rsp, DATA + 0x800)?;
        a.push(rax)?;
        a.pop(rcx)
    });
    // Some hosts stop behind it, some behind the following instruction.
    assert!((4..=5).contains(&loaded), "{loaded}");
}

/// All vCPUs but the first jump to this label.
fn others_at(a: &mut CodeAssembler, label: CodeLabel) -> Assembled {
    a.test(edi, edi)?;
    a.jnz(label)
}

/// Two vCPUs that each add one to a word, by a load and a store; the first checks the word when
/// both have done so. None of the memory is in a shared section.
fn lost_update() -> Guest {
    const COUNTER: u64 = DATA;
    const DONE: u64 = DATA + 8;
    const READY: u64 = DATA + 16;
    let add = |a: &mut CodeAssembler| {
        a.mov(rax, qword_ptr(COUNTER))?;
        a.inc(rax)?;
        a.mov(qword_ptr(COUNTER), rax)?;
        a.lock().inc(qword_ptr(DONE))
    };
    Guest::new(|a| {
        let (mut other, mut wait, mut good) =
            (a.create_label(), a.create_label(), a.create_label());
        let mut start = a.create_label();
        others_at(a, other)?;
        start_others(a)?;
        a.set_label(&mut start)?;
        a.pause()?;
        a.cmp(qword_ptr(READY), 1)?;
        a.jne(start)?;
        add(a)?;
        a.set_label(&mut wait)?;
        a.pause()?;
        a.cmp(qword_ptr(DONE), 2)?;
        a.jne(wait)?;
        a.cmp(qword_ptr(COUNTER), 2)?;
        a.je(good)?;
        end(a, 1)?;
        a.set_label(&mut good)?;
        end(a, 0)?;
        a.set_label(&mut other)?;
        a.mov(qword_ptr(READY), 1)?;
        add(a)?;
        a.cli()?;
        a.hlt()
    })
    .with_vcpus(2)
}

#[test]
fn an_update_of_private_memory_is_lost_and_lost_again() {
    let guest = lost_update().stepped();
    let run = |seed| {
        let mut machine = guest.machine();
        let ending = machine.run(&mut random(seed), BUDGET).unwrap();
        (ending, machine.points(), machine.hash())
    };
    let lost = (0..50).map(|seed| (seed, run(seed))).find(|(_, (ending, ..))| {
        assert!(matches!(ending, End::Guest { code: 0 | 1 }), "{ending:?}");
        *ending == End::Guest { code: 1 }
    });
    let (seed, came_to) = lost.expect("an update that is lost");
    assert_eq!(run(seed), came_to, "seed {seed}");
}

#[test]
fn watched_pages_do_not_show_it() {
    // There is no point between the accesses, so no update is lost. The first vCPU waits on private
    // memory, and is out of the run until that changes.
    for seed in 0..3 {
        let mut machine = lost_update().machine();
        let ending = machine.run(&mut random(seed), BUDGET).unwrap();
        assert_eq!(ending, End::Guest { code: 0 }, "seed {seed}");
    }
}

#[test]
fn the_time_is_a_function_of_the_choices() {
    let guest = Guest::new(|a| {
        for at in 0..4 {
            a.rdtsc()?;
            a.shl(rdx, 32)?;
            a.or(rax, rdx)?;
            a.mov(qword_ptr(DATA + 8 * at), rax)?;
        }
        // Sets the TSC to 0, as if it had just started.
        a.mov(ecx, 0x10)?;
        a.xor(eax, eax)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
        a.rdmsr()?;
        a.shl(rdx, 32)?;
        a.or(rax, rdx)?;
        a.mov(qword_ptr(DATA + 0x20), rax)?;
        end(a, 0)
    });
    let (one, other) = (run(&guest), run(&guest));
    assert_eq!(one.hash(), other.hash());
    let khz = u64::from(one.tsc.khz);
    let read: Vec<_> = (0..5).map(|at| word(&one, DATA + 8 * at)).collect();
    for (before, after) in read.iter().zip(&read[1..4]) {
        // Four instructions, a microsecond each; the last digit is rounded.
        assert!((after - before).abs_diff(4 * khz / 1000) <= 1, "{read:?}");
    }
    assert!(read[4].abs_diff(khz / 1000) <= 1, "{read:?}");
}

#[test]
fn random_numbers_are_not_offered_and_the_same_each_time() {
    let guest = Guest::new(|a| {
        a.rdrand(rax)?;
        a.mov(qword_ptr(DATA), rax)?;
        a.setb(byte_ptr(DATA + 0x18))?;
        a.mov(rcx, u64::MAX)?;
        a.rdseed(ecx)?;
        a.mov(qword_ptr(DATA + 8), rcx)?;
        a.mov(rdx, u64::MAX)?;
        a.rdrand(dx)?;
        a.mov(qword_ptr(DATA + 0x10), rdx)?;
        a.mov(eax, 1)?;
        a.cpuid()?;
        a.mov(dword_ptr(DATA + 0x20), ecx)?;
        a.mov(eax, 7)?;
        a.xor(ecx, ecx)?;
        a.cpuid()?;
        a.mov(dword_ptr(DATA + 0x28), ebx)?;
        // The hypervisor's signature.
        a.mov(eax, 0x4000_0000)?;
        a.cpuid()?;
        a.mov(dword_ptr(DATA + 0x30), ebx)?;
        end(a, 0)
    });
    let (one, other) = (run(&guest), run(&guest));
    assert_eq!(one.hash(), other.hash());
    let read: Vec<_> = (0..6).map(|at| word(&one, DATA + 8 * at)).collect();
    assert!(read[0] != 0 && read[3] == 1, "{read:x?}");
    assert!(read[1] >> 32 == 0 && read[1] != 0, "{read:x?}");
    assert!(read[2] | 0xffff == u64::MAX && read[2] != u64::MAX, "{read:x?}");
    assert_eq!((read[4] >> 30 & 1, read[5] >> 18 & 1), (0, 0), "{read:x?}");
    assert_eq!(word(&one, DATA + 0x30).to_le_bytes()[..4], *b"VMwa");
}

/// vCPU 0 sends this command to vCPU 1 when vCPU 1 has reported that it is ready.
fn send_when_ready(a: &mut CodeAssembler, command: u32) -> Assembled {
    let mut wait = a.create_label();
    start_others(a)?;
    a.set_label(&mut wait)?;
    a.pause()?;
    a.cmp(qword_ptr(DATA), 1)?;
    a.jne(wait)?;
    a.mov(ebx, (LAPIC + 0x310) as u32)?;
    a.mov(dword_ptr(rbx), 1 << 24)?;
    a.mov(ebx, (LAPIC + 0x300) as u32)?;
    a.mov(dword_ptr(rbx), command)?;
    a.cli()?;
    a.hlt()
}

/// Enables the LAPIC and reports that the vCPU is ready.
fn ready(a: &mut CodeAssembler) -> Assembled {
    a.mov(ebx, (LAPIC + 0xf0) as u32)?;
    a.mov(dword_ptr(rbx), 0x1ff)?;
    a.mov(qword_ptr(DATA), 1)
}

#[test]
fn a_sleeping_vcpu_is_woken_by_an_ipi() {
    const VECTOR: u8 = 0x41;
    let guest = Guest::new(|a| {
        let mut other = a.create_label();
        others_at(a, other)?;
        send_when_ready(a, VECTOR.into())?;
        a.set_label(&mut other)?;
        ready(a)?;
        a.sti()?;
        a.hlt()?;
        // The handler has run.
        a.mov(eax, dword_ptr(DATA + 8))?;
        a.out(END, eax)?;
        a.hlt()
    })
    .with_vcpus(2)
    .handle(VECTOR, |a| {
        a.push(rbx)?;
        a.mov(ebx, (LAPIC + 0xb0) as u32)?;
        a.mov(dword_ptr(rbx), 0)?;
        a.pop(rbx)?;
        a.pushfq()?;
        a.pop(rcx)?;
        a.and(ecx, (Registers::INTERRUPT_FLAG | Registers::TRAP_FLAG) as u32)?;
        a.mov(qword_ptr(DATA + 0x10), rcx)?;
        a.mov(rcx, qword_ptr(rsp + 16))?;
        a.mov(qword_ptr(DATA + 0x18), rcx)?;
        a.mov(dword_ptr(DATA + 8), 7)?;
        a.iretq()
    })
    .stepped();
    for seed in 0..6 {
        let mut machine = guest.machine();
        let ending = machine.run(&mut random(seed), BUDGET).unwrap();
        assert_eq!(ending, End::Guest { code: 7 }, "seed {seed}");
        // Interrupts are disabled in the handler and enabled in the frame, and TF is clear in both.
        assert_eq!(word(&machine, DATA + 0x10), 0);
        assert_eq!(
            word(&machine, DATA + 0x18) & (Registers::INTERRUPT_FLAG | Registers::TRAP_FLAG),
            Registers::INTERRUPT_FLAG
        );
    }
}

#[test]
fn sti_holds_interrupts_back_for_one_instruction() {
    // The interrupt is pending before STI: it is taken behind the HLT, and never before it.
    const VECTOR: u8 = 0x41;
    let guest = Guest::new(|a| {
        ready(a)?;
        a.mov(ebx, (LAPIC + 0x300) as u32)?;
        a.mov(dword_ptr(rbx), 0x4_0000 | u32::from(VECTOR))?;
        a.nop()?;
        a.sti()?;
        a.hlt()?;
        end(a, 0)
    })
    .handle(VECTOR, |a| {
        a.mov(rax, qword_ptr(rsp))?;
        a.mov(qword_ptr(DATA + 0x20), rax)?;
        a.mov(rbx, rax)?;
        a.cmp(byte_ptr(rax - 1), 0xf4)?;
        a.sete(al)?;
        a.movzx(eax, al)?;
        a.xor(eax, 1)?;
        a.out(END, eax)?;
        a.hlt()
    })
    .stepped();
    for seed in 0..6 {
        let ending = guest.machine().run(&mut random(seed), BUDGET).unwrap();
        assert_eq!(ending, End::Guest { code: 0 }, "seed {seed}");
    }
}

#[test]
fn an_nmi_is_served_and_held_back_until_iret() {
    const TWO: u32 = 0x400;
    let guest = Guest::new(|a| {
        let (mut other, mut spin) = (a.create_label(), a.create_label());
        others_at(a, other)?;
        send_when_ready(a, TWO)?;
        a.set_label(&mut other)?;
        ready(a)?;
        a.set_label(&mut spin)?;
        a.pause()?;
        a.cmp(dword_ptr(DATA + 8), 2)?;
        a.jne(spin)?;
        end(a, 0)
    })
    .with_vcpus(2)
    .handle(2, |a| {
        let mut last = a.create_label();
        a.inc(dword_ptr(DATA + 8))?;
        a.cmp(dword_ptr(DATA + 8), 2)?;
        a.je(last)?;
        // Another interrupt, to the vCPU itself: it must not be taken here.
        a.mov(ebx, (LAPIC + 0x310) as u32)?;
        a.mov(dword_ptr(rbx), 1 << 24)?;
        a.mov(ebx, (LAPIC + 0x300) as u32)?;
        a.mov(dword_ptr(rbx), TWO)?;
        a.nop()?;
        a.cmp(dword_ptr(DATA + 8), 1)?;
        a.je(last)?;
        end(a, 9)?;
        a.set_label(&mut last)?;
        a.iretq()
    })
    .stepped();
    for seed in 0..6 {
        let ending = guest.machine().run(&mut random(seed), BUDGET).unwrap();
        assert_eq!(ending, End::Guest { code: 0 }, "seed {seed}");
    }
}

#[test]
fn a_fault_is_followed_or_refused() {
    let guest = Guest::new(|a| {
        a.nop()?;
        a.ud2()
    })
    .handle(6, |a| {
        a.nop()?;
        a.add(qword_ptr(rsp), 2)?;
        end(a, 0)
    })
    .stepped();
    let ending = guest.machine().run(&mut first, BUDGET);
    if stepping().handlers {
        assert_eq!(ending.unwrap(), End::Guest { code: 0 });
    } else {
        let error = ending.unwrap_err().to_string();
        assert!(error.contains(&format!("RIP {:#x}: an exception", CODE + 1)), "{error}");
    }
}

#[test]
fn ring_3_is_stepped_or_refused() {
    let guest = Guest::new(|a| {
        let mut user = a.create_label();
        a.push(0x23)?;
        a.push(DATA as i32 + 0x800)?;
        a.push(0x3002)?; // I/O for everybody
        a.push(0x2b)?;
        a.lea(rax, ptr(user))?;
        a.push(rax)?;
        a.iretq()?;
        a.set_label(&mut user)?;
        a.nop()?;
        end(a, 0)
    })
    .with(GDT + 0x20, &0x00cf_f300_0000_ffffu64.to_le_bytes())
    .with(GDT + 0x28, &0x00af_fb00_0000_ffffu64.to_le_bytes())
    .stepped();
    let ending = guest.machine().run(&mut first, BUDGET);
    if stepping().user {
        assert_eq!(ending.unwrap(), End::Guest { code: 0 });
    } else {
        let error = ending.unwrap_err().to_string();
        assert!(error.contains("ring 3, which this host's single steps don't reach"), "{error}");
    }
}

/// vCPU 0 waits for a change of a word that vCPU 1 never writes; `spoil` is in its loop.
fn waits(spoil: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Guest {
    Guest::new(|a| {
        let (mut other, mut wait) = (a.create_label(), a.create_label());
        others_at(a, other)?;
        start_others(a)?;
        a.set_label(&mut wait)?;
        a.pause()?;
        spoil(a)?;
        a.cmp(qword_ptr(DATA), 1)?;
        a.jne(wait)?;
        end(a, 0)?;
        a.set_label(&mut other)?;
        a.mov(qword_ptr(DATA), 2)?;
        a.cli()?;
        a.hlt()
    })
    .with_vcpus(2)
    .stepped()
}

#[test]
fn a_hang_is_proven_and_says_who_waits_for_what() {
    let guest = waits(|a| {
        // A push and pop, and a lock that fails: both without visible effect.
        a.push(rax)?;
        a.pop(rax)?;
        a.mov(eax, 1)?;
        a.lock().bts(dword_ptr(DATA + 0x40), 0)
    });
    let mut machine = guest.machine();
    let ending = machine.run(&mut random(1), BUDGET).unwrap();
    assert_eq!(ending, End::Hang(HangEvidence::Proof));
    let waiters = machine.waiters().unwrap();
    let Waits::ForChange(awaited) = &waiters[0].waits else { panic!("{waiters:?}") };
    let word = awaited.iter().find(|awaited| awaited.address == DATA).expect("the word");
    assert_eq!(word.value[..], 2u64.to_le_bytes());
    let writer = word.writer.as_ref().expect("a writer");
    assert_eq!((writer.vcpu, &writer.value[..]), (1, &2u64.to_le_bytes()[..]));
    assert!(matches!(waiters[1].waits, Waits::ForInterrupt));
}

#[test]
fn a_loop_with_a_counter_is_no_proven_hang() {
    let counters: [fn(&mut CodeAssembler) -> Assembled; 3] = [
        |a| a.inc(qword_ptr(rsp - 8)),
        |a| a.inc(rbp),
        |a| {
            a.rdtsc()?;
            a.mov(dword_ptr(rsp - 8), eax)
        },
    ];
    for spoil in counters {
        let mut machine = waits(spoil).machine();
        assert_eq!(machine.run(&mut random(1), 5_000).unwrap(), End::Budget);
    }
}

#[test]
fn a_sleeper_with_a_timer_that_it_cannot_hear_hangs() {
    let mut machine = Guest::new(|a| {
        for (register, value) in [(0xf0, 0x1ff), (0x3e0, 0xb), (0x320, 0x2_0040), (0x380, 1)] {
            a.mov(ebx, (LAPIC + register) as u32)?;
            a.mov(dword_ptr(rbx), value)?;
        }
        a.cli()?;
        a.hlt()
    })
    .machine();
    assert_eq!(machine.run(&mut first, BUDGET).unwrap(), End::Hang(HangEvidence::Proof));
}

#[test]
fn guests_of_the_catalogue_run() {
    for (guest, ends) in [
        ("lost-update-fixed", End::Guest { code: 0 }),
        ("tlb-shootdown-fixed", End::Guest { code: 0 }),
        ("lost-wakeup-fixed", End::Guest { code: 0 }),
        ("irq-mainline-fixed", End::Guest { code: 0 }),
    ] {
        for seed in 0..2 {
            let mut machine = machine_at(guest, Granularity::Instruction);
            let ending = machine.run(&mut random(seed), 1_000_000).unwrap();
            assert_eq!(ending, ends, "{guest}, seed {seed}");
        }
    }
}

#[test]
fn a_run_from_the_mark_is_the_one_from_the_start() {
    for guest in ["lost-update", "irq-mainline", "lost-wakeup"] {
        let mut machine = machine_at(guest, Granularity::Instruction);
        let mut prefix = Vec::new();
        let mut note = |point: &Point| {
            prefix.push(point.enabled[0]);
            point.enabled[0]
        };
        assert_eq!(machine.run_to_mark(&mut note, BUDGET).unwrap(), None);
        let snapshot = machine.save().unwrap();
        for seed in 0..4 {
            machine.restore(&snapshot).unwrap();
            let mut choices = prefix.clone();
            let mut choose = random(seed);
            let mut note = |point: &Point| {
                choices.push(choose(point));
                choices[choices.len() - 1]
            };
            let ending = machine.run(&mut note, BUDGET).unwrap();
            let came_to = (ending, machine.points(), machine.hash());
            let mut again = machine_at(guest, Granularity::Instruction);
            let mut next = choices.iter();
            let ending = again.run(&mut |_: &Point| *next.next().unwrap(), BUDGET).unwrap();
            assert_eq!((ending, again.points(), again.hash()), came_to, "{guest}, seed {seed}");
        }
    }
}
