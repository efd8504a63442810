//! Self-tests of plain exits: ports, MMIO, HLT, MSRs, and instructions that KVM can't emulate.

use std::time::Instant;

use iced_x86::code_asm::{al, ax, eax, ebx, ecx, edx, qword_ptr, rax, tbyte_ptr};

use super::bench::data;
use super::layout::{DONE, HOLE, MARK};
use super::outcome::{Outcome, Samples, Tested};
use super::test_guest::{TestGuest, done};
use crate::exit::{Bytes, Entry, Exit};
use crate::kvm::{Host, Irqchip, MsrExits};

/// The number of measurements of a cheap operation.
const REPETITIONS: usize = 200;

/// Port reads and writes of every size, with the right data, and the cost of an exit.
pub(super) fn port(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        let mut again = a.create_label();
        a.mov(eax, 0x4433_2211)?;
        a.out(u32::from(MARK), al)?;
        a.out(u32::from(MARK), ax)?;
        a.out(u32::from(MARK), eax)?;
        a.in_(eax, u32::from(MARK))?;
        a.set_label(&mut again)?;
        a.out(u32::from(DONE), eax)?;
        a.jmp(again)
    })?;
    let written = |bytes: &[u8]| Exit::PortWrite {
        port: MARK,
        size: bytes.len() as u8,
        data: Bytes::from_slice(bytes),
    };
    bench.expect(Entry::Resume, &written(&[0x11]))?;
    bench.expect(Entry::Resume, &written(&[0x11, 0x22]))?;
    bench.expect(Entry::Resume, &written(&[0x11, 0x22, 0x33, 0x44]))?;
    bench.expect(Entry::Resume, &Exit::PortRead { port: MARK, size: 4, count: 1 })?;
    let answer = [0xaa, 0xbb, 0xcc, 0xdd];
    let wanted = Exit::PortWrite { port: DONE, size: 4, data: Bytes::from_slice(&answer) };
    bench.expect(data(&answer), &wanted)?;
    let times: Tested<Samples> = (0..REPETITIONS).map(|_| bench.time_to_port(DONE)).collect();
    Ok(Outcome::works("read and write exits").costing(times?.median()))
}

/// A load and a store at an address without a memory slot, and the cost of an exit.
pub(super) fn mmio(test_guest: &TestGuest) -> Tested<Outcome> {
    const VALUE: u64 = 0x1122_3344_5566_7788;
    let mut bench = test_guest.kernel(|a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.mov(rax, qword_ptr(HOLE))?;
        a.mov(qword_ptr(HOLE + 8), rax)?;
        a.jmp(again)
    })?;
    let read = Exit::MmioRead { address: HOLE, size: 8 };
    let write =
        Exit::MmioWrite { address: HOLE + 8, data: Bytes::from_slice(&VALUE.to_le_bytes()) };
    let mut times = Vec::new();
    for _ in 0..REPETITIONS / 2 {
        let start = Instant::now();
        bench.expect(Entry::Resume, &read)?;
        let middle = Instant::now();
        bench.expect(data(&VALUE.to_le_bytes()), &write)?;
        times.extend([middle - start, middle.elapsed()]);
    }
    let times: Samples = times.into_iter().collect();
    Ok(Outcome::works("read and write exits").costing(times.median()))
}

/// HLT exits to user space without an in-kernel irqchip.
pub(super) fn halt(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        a.hlt()?;
        done(a)
    })?;
    bench.expect(Entry::Resume, &Exit::Halt)?;
    bench.expect_done()?;
    Ok(Outcome::works("a halted vCPU is ours to wake"))
}

/// A read and a write of a filtered MSR exit, and the read can be answered.
pub(super) fn msr_filter(test_guest: &TestGuest) -> Tested<Outcome> {
    /// `IA32_SYSENTER_CS`: every KVM has it, and nothing here depends on its value.
    const MSR: u32 = 0x174;
    require(test_guest.host, kvm_bindings::KVM_CAP_X86_USER_SPACE_MSR)?;
    let mut bench = test_guest.machine(Irqchip::None, |a| {
        a.mov(ecx, MSR)?;
        a.rdmsr()?;
        a.mov(ebx, eax)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
        a.mov(eax, ebx)?;
        done(a)
    })?;
    bench.vm.exit_on_msrs(&MsrExits { chosen: vec![MSR], ..MsrExits::default() })?;
    let read = Exit::MsrRead { index: MSR };
    let write = Exit::MsrWrite { index: MSR, value: 0x5a };
    bench.expect(Entry::Resume, &read)?;
    bench.cpu.answer_msr(Some(0x5a));
    bench.expect(Entry::Resume, &write)?;
    match bench.expect_port(DONE)? {
        0x5a => Ok(Outcome::works("chosen MSR reads and writes exit")),
        _ => Ok(Outcome::partly("MSR accesses exit, but the answer to a read is lost")),
    }
}

/// An instruction that KVM's emulator doesn't know is reported with its bytes.
pub(super) fn emulation_failure(test_guest: &TestGuest) -> Tested<Outcome> {
    require(test_guest.host, kvm_bindings::KVM_CAP_EXIT_ON_EMULATION_FAILURE)?;
    let mut bench = test_guest.kernel(|a| {
        a.fbld(tbyte_ptr(HOLE))?;
        done(a)
    })?;
    match bench.resume()? {
        Exit::InternalError { instruction, .. } if instruction.first() == Some(&0xdf) => {
            Ok(Outcome::works("KVM's internal error names the instruction"))
        }
        Exit::InternalError { .. } => Ok(Outcome::partly("internal error without the bytes")),
        exit => Ok(bench.odd(&exit)),
    }
}

/// Ends the self-test if the host lacks a capability.
pub(super) fn require(host: &Host, capability: u32) -> Tested<()> {
    present(host.capability(capability) > 0)
}

/// Ends the self-test if its subject is absent.
pub(super) fn present(there: bool) -> Tested<()> {
    if there { Ok(()) } else { Err(Outcome::missing("the capability is absent").into()) }
}
