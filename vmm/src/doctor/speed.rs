//! Self-tests of speed: plain guest code, and instructions that exit to the kernel but not to user
//! space.

use std::time::{Duration, Instant};

use iced_x86::code_asm::{
    CodeAssembler, dword_ptr, eax, ecx, qword_ptr, r8, r9d, r10, rbx, rcx, rdx,
};

use super::bench::Bench;
use super::layout::{DATA, HOLE, Ring};
use super::outcome::{Cost, Outcome, Samples, Stop, Tested};
use super::test_guest::{Assembled, TestGuest};
use crate::exit::Exit;

/// Above this cost (100 ns each), instructions are not executed by the processor but emulated by
/// KVM.
pub(super) const EMULATED: Cost = Cost::new(100.0);

/// Where the guest finds how many rounds its body is repeated.
const ROUNDS: u64 = DATA + 0x100;
/// A measurement of this length is precise enough.
const MIN_MEASUREMENT: Duration = Duration::from_millis(1);
const MAX_ROUNDS: u64 = 1 << 26;

/// Repeats a body, then stores to [`HOLE`] (which exits from either ring, unlike a port), for ever.
/// Uses R8 to R10.
fn repeat(a: &mut CodeAssembler, body: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Assembled {
    let mut again = a.create_label();
    let mut round = a.create_label();
    a.set_label(&mut again)?;
    a.mov(r8, ROUNDS)?;
    a.mov(r10, qword_ptr(r8))?;
    a.set_label(&mut round)?;
    body(a)?;
    a.dec(r10)?;
    a.jnz(round)?;
    a.mov(dword_ptr(HOLE), r9d)?;
    a.jmp(again)
}

/// The time of this number of iterations.
fn time(bench: &mut Bench, rounds: u64) -> Tested<Duration> {
    bench.vm.memory().write(ROUNDS, &rounds.to_le_bytes())?;
    let start = Instant::now();
    match bench.resume()? {
        Exit::MmioWrite { address: HOLE, .. } => Ok(start.elapsed()),
        exit => Err(bench.odd(&exit).into()),
    }
}

/// The cost of one iteration, without the exit at the end.
fn round_cost(
    test_guest: &TestGuest,
    ring: Ring,
    body: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Tested<Cost> {
    let mut bench = test_guest.ring(ring, |a| repeat(a, body))?;
    time(&mut bench, 1)?;
    let mut rounds = 16;
    while time(&mut bench, rounds)? < MIN_MEASUREMENT && rounds < MAX_ROUNDS {
        rounds *= 4;
    }
    let mut median = |rounds| {
        let times: Tested<Samples> = (0..9).map(|_| time(&mut bench, rounds)).collect();
        Ok::<_, Stop>(times?.median())
    };
    let cost = median(rounds)?.above(median(1)?);
    Ok(Cost::new(cost.nanoseconds() / (rounds - 1) as f64))
}

/// Six plain instructions with a load and a store; with the loop's own two, eight.
fn plain(a: &mut CodeAssembler) -> Assembled {
    a.mov(rcx, qword_ptr(r8))?;
    a.add(rdx, rcx)?;
    a.mov(qword_ptr(r8 + 8), rdx)?;
    a.xor(rbx, rdx)?;
    a.lea(rcx, rbx + 1)?;
    a.and(rcx, rdx)
}

fn instruction_cost(test_guest: &TestGuest, ring: Ring) -> Tested<Cost> {
    Ok(Cost::new(round_cost(test_guest, ring, plain)?.nanoseconds() / 8.0))
}

/// The cost of one plain instruction in ring 0.
pub(super) fn ring0(test_guest: &TestGuest) -> Tested<Outcome> {
    let cost = instruction_cost(test_guest, Ring::Kernel)?;
    Ok(if cost > EMULATED {
        Outcome::partly("slow: KVM, or what it runs on, interprets the kernel's instructions")
    } else {
        Outcome::works("the processor's own speed")
    }
    .costing(cost))
}

/// The cost of one plain instruction in ring 3.
pub(super) fn ring3(test_guest: &TestGuest) -> Tested<Outcome> {
    let cost = instruction_cost(test_guest, Ring::User)?;
    Ok(if cost > EMULATED {
        Outcome::partly("slow: KVM, or what it runs on, interprets user programs, too")
    } else {
        Outcome::works("the processor's own speed")
    }
    .costing(cost))
}

/// CPUID, which the kernel part of every hypervisor answers; the cost in ring 0, and in ring 3 for
/// information.
pub(super) fn cpuid(test_guest: &TestGuest) -> Tested<Outcome> {
    let body = |a: &mut CodeAssembler| {
        a.xor(eax, eax)?;
        a.xor(ecx, ecx)?;
        a.cpuid()
    };
    let base = |a: &mut CodeAssembler| {
        a.xor(eax, eax)?;
        a.xor(ecx, ecx)
    };
    both_rings(test_guest, "answered by KVM, unseen by jitterbug", body, base)
}

/// RDTSC.
pub(super) fn rdtsc(test_guest: &TestGuest) -> Tested<Outcome> {
    both_rings(
        test_guest,
        "reads the host's clock, unseen by jitterbug",
        CodeAssembler::rdtsc,
        |_| Ok(()),
    )
}

fn both_rings(
    test_guest: &TestGuest,
    meaning: &str,
    body: fn(&mut CodeAssembler) -> Assembled,
    base: fn(&mut CodeAssembler) -> Assembled,
) -> Tested<Outcome> {
    let cost = |ring| {
        Ok::<_, Stop>(
            round_cost(test_guest, ring, body)?.above(round_cost(test_guest, ring, base)?),
        )
    };
    let ring0 = cost(Ring::Kernel)?;
    // A failure in ring 3 is not an error: a host may support ring 0 only.
    let detail = match cost(Ring::User) {
        Ok(ring3) => format!("{meaning}; {ring3} in ring 3"),
        Err(_) => meaning.to_owned(),
    };
    Ok(Outcome::works(detail).costing(ring0))
}
