//! Self-test of KVM's own irqchip: a second vCPU, on its own thread, is started by INIT and SIPI.

use std::thread;
use std::time::Instant;

use iced_x86::code_asm::{al, dword_ptr, rbx};

use super::bench::TEST_TIMEOUT;
use super::layout::{AP_CODE, LAPIC, MARK};
use super::outcome::{Outcome, Stop, Tested};
use super::test_guest::{TestGuest, assemble, done};
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::kvm::kick::Alarm;
use crate::kvm::{Irqchip, KvmCpu};

/// The byte that the application processor writes when it runs.
const HERE: u8 = 0xa5;

/// The LAPIC's interrupt command register: INIT and SIPI to APIC 1 (Intel SDM vol. 3, 11.6.1).
const ICR_LOW: i32 = 0x300;
const ICR_HIGH: i32 = 0x310;
const TO_APIC_1: i32 = 1 << 24;
const INIT: i32 = 0x4500;
const SIPI: i32 = 0x4600 | (AP_CODE >> 12) as i32;

/// Measures the time from the first instruction of vCPU 0 to the first exit of vCPU 1.
pub(super) fn init_sipi(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.machine(Irqchip::InKernel, |a| {
        a.mov(rbx, LAPIC)?;
        a.mov(dword_ptr(rbx + ICR_HIGH), TO_APIC_1)?;
        a.mov(dword_ptr(rbx + ICR_LOW), INIT)?;
        a.mov(dword_ptr(rbx + ICR_LOW), SIPI)?;
        done(a)
    })?;
    let real_mode = assemble(16, 0, |a| {
        a.mov(al, u32::from(HERE))?;
        a.out(u32::from(MARK), al)?;
        a.hlt()
    })?;
    bench.vm.memory().write(AP_CODE, &real_mode)?;
    let mut second = bench.vm.create_cpu(1)?;
    second.set_cpuid(test_guest.leaves())?;
    // This call is also needed to make the vCPU reachable (see its documentation).
    second.wire_local_interrupts()?;
    bench.allow(TEST_TIMEOUT)?;
    let start = Instant::now();
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(move || first_exit(second));
        (bench.expect_done(), second.join())
    });
    first?;
    let Ok(second) = second else {
        return Ok(Outcome::untested("the second vCPU's thread panicked"));
    };
    let (exit, when) = second.map_err(Stop::Failed)?;
    Ok(match exit {
        Exit::PortWrite { port: MARK, ref data, .. } if data.as_slice() == [HERE] => {
            Outcome::works("vCPUs start on threads of their own").costing(when - start)
        }
        Exit::Kicked => Outcome::silent("accepted, never fires: the second vCPU doesn't start"),
        exit => bench.odd(&exit),
    })
}

/// Waits for the start of the vCPU, and runs it to its first exit.
fn first_exit(mut cpu: KvmCpu) -> Result<(Exit, Instant)> {
    let mut alarm = Alarm::new()?;
    let _bound = cpu.bind_to_thread();
    alarm.set(TEST_TIMEOUT)?;
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        let exit = cpu.run(Entry::Resume)?;
        let now = Instant::now();
        if now >= deadline || !matches!(exit, Exit::Kicked | Exit::ApStart) {
            return Ok((exit, now));
        }
    }
}
