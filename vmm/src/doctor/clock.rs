//! Self-tests of time and counting: the TSC's rate, and a counter of retired branches.

use std::thread;
use std::time::{Duration, Instant};

use iced_x86::code_asm::{CodeAssembler, al, eax, ecx, edx, qword_ptr, rax, rdx};
use kvm_bindings::KVM_CAP_TSC_CONTROL;

use super::exits::require;
use super::layout::{DATA, MARK};
use super::outcome::{Outcome, Tested};
use super::test_guest::{TestGuest, done};
use crate::cpu::Cpu;
use crate::error::Error;

/// Sets half the TSC rate, and checks it with the guest's own clock.
pub(super) fn tsc_control(test_guest: &TestGuest) -> Tested<Outcome> {
    const INTERVAL: Duration = Duration::from_millis(5);
    require(test_guest.host, KVM_CAP_TSC_CONTROL)?;
    let mut bench = test_guest.kernel(|a| {
        for at in [DATA, DATA + 8] {
            a.rdtsc()?;
            a.shl(rdx, 32)?;
            a.or(rax, rdx)?;
            a.mov(qword_ptr(at), rax)?;
            a.out(u32::from(MARK), al)?;
        }
        done(a)
    })?;
    let half = bench.cpu.tsc_khz()? / 2;
    bench
        .cpu
        .fd()
        .set_tsc_khz(half)
        .map_err(|errno| Error::Kvm { call: "KVM_SET_TSC_KHZ", source: errno.into() })?;
    bench.expect_port(MARK)?;
    let start = Instant::now();
    thread::sleep(INTERVAL);
    bench.expect_port(MARK)?;
    let elapsed = start.elapsed();
    let memory = bench.vm.memory();
    let ticks = memory.read_u64(DATA + 8)?.wrapping_sub(memory.read_u64(DATA)?);
    let expected = elapsed.as_secs_f64() * f64::from(half) * 1e3;
    let ratio = ticks as f64 / expected.max(1.0);
    Ok(if (0.8..1.25).contains(&ratio) {
        Outcome::works("the guest's TSC runs at the rate we set")
    } else {
        Outcome::silent(format!("accepted, never fires: the TSC runs {ratio:.1} times as fast"))
    })
}

/// A counter of retired branches: the MSRs that select and read it, and its event (Intel SDM vol.
/// 3, 20.2; AMD APM vol. 2, 13.2).
struct Counter {
    select: u32,
    count: u32,
    event: u32,
    global_enable: Option<u32>,
}

const INTEL: Counter =
    Counter { select: 0x186, count: 0xc1, event: 0xc4, global_enable: Some(0x38f) };
const AMD: Counter =
    Counter { select: 0xc001_0000, count: 0xc001_0004, event: 0xc2, global_enable: None };

/// Counts the branches of a loop in the guest.
pub(super) fn retired_branches(test_guest: &TestGuest) -> Tested<Outcome> {
    const BRANCHES: u64 = 1000;
    /// Count in both rings; enabled.
    const ENABLE: u32 = 1 << 16 | 1 << 17 | 1 << 22;
    let intel = test_guest.leaf(0).is_some_and(|leaf| leaf.ebx == u32::from_le_bytes(*b"Genu"));
    let version = test_guest.leaf(0xa).map_or(0, |leaf| leaf.eax & 0xff);
    if intel && version == 0 {
        return Ok(Outcome::missing("no PMU: CPUID leaf 0xA says version 0"));
    }
    let counter = if intel { INTEL } else { AMD };
    let mut bench = test_guest.kernel(|a| {
        let wrmsr = |a: &mut CodeAssembler, msr: u32, value: u32| {
            a.mov(ecx, msr)?;
            a.mov(eax, value)?;
            a.xor(edx, edx)?;
            a.wrmsr()
        };
        let mut again = a.create_label();
        wrmsr(a, counter.count, 0)?;
        wrmsr(a, counter.select, counter.event | ENABLE)?;
        if let Some(msr) = counter.global_enable {
            wrmsr(a, msr, 1)?;
        }
        a.mov(rdx, BRANCHES)?;
        a.set_label(&mut again)?;
        a.dec(rdx)?;
        a.jnz(again)?;
        a.mov(ecx, counter.count)?;
        a.rdmsr()?;
        a.mov(qword_ptr(DATA), rax)?;
        done(a)
    })?;
    bench.expect_done()?;
    let counted = bench.vm.memory().read_u64(DATA)?;
    Ok(match counted {
        // A few more for the exits of the MSR accesses.
        BRANCHES..=1020 => Outcome::works("counts exactly: usable for precise preemption"),
        0 => Outcome::silent("accepted, never fires: the counter stays 0"),
        other => Outcome::partly(format!("counts {other} branches where there are {BRANCHES}")),
    })
}
