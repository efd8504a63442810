use std::path::Path;
use std::sync::Arc as Shared;

use super::*;
use crate::cpu::Cpu;
use crate::guest_debug::GuestDebug;
use crate::kvm::{Irqchip, Vm, host};
use crate::memory::{Memory, MemorySize};

/// Pages without a slot.
const HOLE: Range<u64> = 0x8000..0xa000;

/// A vCPU in real mode, before this code at 0x1000; it halts behind the code.
fn vcpu(code: &[u8]) -> (KvmCpu, Vm, Host) {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let mut memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    memory.watch(HOLE);
    memory.write(0x1000, &[code, &[0xf4]].concat()).unwrap();
    let vm = Vm::new(&host, Shared::new(memory), Irqchip::None).unwrap();
    let mut cpu = vm.create_cpu(0).unwrap();
    let mut system = cpu.system_registers().unwrap();
    (system.cs.selector, system.cs.base) = (0, 0);
    cpu.set_system_registers(&system).unwrap();
    let mut registers = cpu.registers().unwrap();
    registers.rip = 0x1000;
    cpu.set_registers(&registers).unwrap();
    (cpu, vm, host)
}

const SYSENTER_CS: u32 = 0x174;

/// What is changed, and the function that changes it.
type Change = (&'static str, fn(&mut KvmCpu));

#[test]
fn hidden_state_comes_back_when_it_is_asked_for() {
    let (mut cpu, vm, host) = vcpu(&[]);
    let saved = cpu.save(&host.msrs_to_save().unwrap()).unwrap();
    let changes: [Change; 3] = [
        ("an MSR", |cpu| {
            let entry = kvm_msr_entry { index: SYSENTER_CS, data: 0x10, ..Default::default() };
            assert_eq!(cpu.fd().set_msrs(&msr_list(&[entry]).unwrap()).unwrap(), 1);
        }),
        ("the FPU", |cpu| {
            // XMM0, and the bit of XSTATE_BV that says that the SSE state is not the initial one.
            let mut xsave = cpu.fd().get_xsave().unwrap();
            (xsave.region[160 / 4], xsave.region[512 / 4]) = (7, 0b11);
            // SAFETY: the area is KVM's own, and no feature here has state outside it.
            unsafe { cpu.fd().set_xsave(&xsave) }.unwrap();
        }),
        ("a debug register", |cpu| {
            let mut debug = cpu.fd().get_debug_regs().unwrap();
            debug.db[1] = 0x1234;
            cpu.fd().set_debug_regs(&debug).unwrap();
        }),
    ];
    for (what, change) in changes {
        assert!(saved.extended_state_is_same(&mut cpu).unwrap());
        change(&mut cpu);
        assert!(!saved.extended_state_is_same(&mut cpu).unwrap(), "{what} is not looked at");
        cpu.restore(&saved, ExtendedRestore::Unchanged).unwrap();
        assert!(!saved.extended_state_is_same(&mut cpu).unwrap());
        cpu.restore(&saved, ExtendedRestore::Restore).unwrap();
        assert!(saved.extended_state_is_same(&mut cpu).unwrap(), "{what} does not come back");
    }
    drop(vm);
}

#[test]
fn a_vcpu_goes_back_before_a_load_and_behind_a_store() {
    // in $0x80,%al; out %al,$0x81; in $0x82,%al
    let (mut cpu, _vm, host) = vcpu(&[0xe4, 0x80, 0xe6, 0x81, 0xe4, 0x82]);
    let msrs = host.msrs_to_save().unwrap();
    let read = Exit::PortRead { port: 0x80, size: 1, count: 1 };
    assert_eq!(cpu.run(Entry::Resume).unwrap(), read);
    let before = cpu.save(&msrs).unwrap();
    for answer in [5, 6] {
        let write = Exit::PortWrite { port: 0x81, size: 1, data: [answer].into_iter().collect() };
        assert_eq!(cpu.run(Entry::Data([answer].into_iter().collect())).unwrap(), write);
        cpu.complete_pending_io().unwrap();
        let behind = cpu.save(&msrs).unwrap();
        let next = Exit::PortRead { port: 0x82, size: 1, count: 1 };
        for _ in 0..2 {
            assert_eq!(cpu.run(Entry::Resume).unwrap(), next);
            cpu.restore(&behind, ExtendedRestore::Restore).unwrap();
            assert_eq!(cpu.registers().unwrap().rax & 0xff, u64::from(answer));
        }
        cpu.restore(&before, ExtendedRestore::Restore).unwrap();
        assert_eq!(cpu.run(Entry::Resume).unwrap(), read);
    }
}

#[test]
fn an_access_under_single_step_is_settled_too() {
    let (mut cpu, _vm, _host) = vcpu(&[0xe4, 0x80]);
    let step = GuestDebug { step: true, ..Default::default() };
    cpu.set_debug(&step).unwrap();
    assert_eq!(cpu.run(Entry::Resume).unwrap(), Exit::PortRead { port: 0x80, size: 1, count: 1 });
    cpu.set_debug(&GuestDebug::default()).unwrap();
    cpu.complete_pending_io().unwrap();
    assert_eq!(cpu.unfinished(), Unfinished::Nothing);
    assert_eq!(cpu.run(Entry::Resume).unwrap(), Exit::Halt);
}

#[test]
fn an_msr_write_exits_and_is_done_or_refused() {
    // mov $0x174,%ecx; xor %edx,%edx; mov $5,%eax; wrmsr (with 32-bit operands)
    let (mut cpu, vm, host) =
        vcpu(&[0x66, 0xb9, 0x74, 1, 0, 0, 0x66, 0x31, 0xd2, 0x66, 0xb8, 5, 0, 0, 0, 0x0f, 0x30]);
    assert!(vm.exit_on_msr_writes(&host).unwrap(), "this host can't tell MSR writes");
    let write = Exit::MsrWrite { index: SYSENTER_CS, value: 5 };
    assert_eq!(cpu.run(Entry::Resume).unwrap(), write);
    cpu.write_msr(SYSENTER_CS, 5).unwrap();
    assert_eq!(cpu.run(Entry::Resume).unwrap(), Exit::Halt);
    assert_eq!(cpu.msr(SYSENTER_CS).unwrap(), 5);
}

/// The event that is queued for a vCPU, and the function that queues it.
type Event = (&'static str, fn(&mut KvmCpu));

#[test]
fn an_event_that_comes_right_after_a_restore_is_not_lost() {
    const VECTOR: u8 = 0x20;
    const NMI: u64 = 2;
    // sti; nop; out %al,$0x81; out %al,$0x82. The handler: in $0x83,%al
    let (mut cpu, vm, host) = vcpu(&[0xfb, 0x90, 0xe6, 0x81, 0xe6, 0x82]);
    vm.memory().write(0x2000, &[0xe4, 0x83]).unwrap();
    for vector in [NMI, VECTOR.into()] {
        vm.memory().write(vector * 4, &[0, 0x20, 0, 0]).unwrap();
    }
    let mut registers = cpu.registers().unwrap();
    registers.rsp = 0x4000;
    cpu.set_registers(&registers).unwrap();
    assert!(matches!(cpu.run(Entry::Resume).unwrap(), Exit::PortWrite { port: 0x81, .. }));
    cpu.complete_pending_io().unwrap();
    let saved = cpu.save(&host.msrs_to_save().unwrap()).unwrap();
    let events: [Event; 2] = [
        ("an interrupt", |cpu| cpu.interrupt(VECTOR).unwrap()),
        ("an NMI", |cpu| cpu.nmi().unwrap()),
    ];
    for (what, queue) in events {
        assert!(matches!(cpu.run(Entry::Resume).unwrap(), Exit::PortWrite { port: 0x82, .. }));
        cpu.restore(&saved, ExtendedRestore::Unchanged).unwrap();
        queue(&mut cpu);
        let handled = Exit::PortRead { port: 0x83, size: 1, count: 1 };
        assert_eq!(cpu.run(Entry::Resume).unwrap(), handled, "{what} is lost");
        cpu.restore(&saved, ExtendedRestore::Unchanged).unwrap();
    }
}

#[test]
fn single_steps_begin_where_a_vcpu_was_put_back_to() {
    // out %al,$0x81; nop; nop; out %al,$0x82
    let (mut cpu, _vm, host) = vcpu(&[0xe6, 0x81, 0x90, 0x90, 0xe6, 0x82]);
    assert!(matches!(cpu.run(Entry::Resume).unwrap(), Exit::PortWrite { port: 0x81, .. }));
    cpu.complete_pending_io().unwrap();
    let saved = cpu.save(&host.msrs_to_save().unwrap()).unwrap();
    for _ in 0..2 {
        assert!(matches!(cpu.run(Entry::Resume).unwrap(), Exit::PortWrite { port: 0x82, .. }));
        cpu.restore(&saved, ExtendedRestore::Unchanged).unwrap();
        cpu.set_debug(&GuestDebug { step: true, ..Default::default() }).unwrap();
        assert!(matches!(cpu.run(Entry::Resume).unwrap(), Exit::Debug { pc: 0x1003, .. }));
        cpu.set_debug(&GuestDebug::default()).unwrap();
    }
}

#[test]
fn what_is_left_of_an_out_moves_nobody_on() {
    // out %al,$0x80; out %al,$0x81; out %al,$0x82
    let (mut cpu, _vm, host) = vcpu(&[0xe6, 0x80, 0xe6, 0x81, 0xe6, 0x82]);
    let ports = |cpu: &mut KvmCpu| match cpu.run(Entry::Resume).unwrap() {
        Exit::PortWrite { port, .. } => port,
        other => panic!("{other:?}"),
    };
    assert_eq!(ports(&mut cpu), 0x80);
    cpu.complete_pending_io().unwrap();
    let saved = cpu.save(&host.msrs_to_save().unwrap()).unwrap();
    // The remaining work belongs to the instruction at which the vCPU is restored, and to the
    // following one.
    for ran in [1, 2, 1, 2] {
        for port in [0x81, 0x82].into_iter().take(ran) {
            assert_eq!(ports(&mut cpu), port, "after a restore behind {ran}");
        }
        cpu.restore(&saved, ExtendedRestore::Unchanged).unwrap();
    }
}

#[test]
fn what_is_left_of_a_store_to_a_hole_is_forgotten() {
    // mov %al,HOLE; then mov %eax,HOLE+0xffe, which continues in the next page.
    let one = [0xa2, 0x00, 0x80, 0x90];
    let two = [0x66, 0xa3, 0xfe, 0x8f];
    for (store, told) in [(one, (HOLE.start, 1)), (two, (HOLE.start + 0xffe, 2))] {
        let (mut cpu, _vm, host) = vcpu(&[&[0xe6, 0x80], &store[..], &[0xe6, 0x81]].concat());
        assert!(matches!(cpu.run(Entry::Resume).unwrap(), Exit::PortWrite { port: 0x80, .. }));
        cpu.complete_pending_io().unwrap();
        let saved = cpu.save(&host.msrs_to_save().unwrap()).unwrap();
        for _ in 0..3 {
            let exit = cpu.run(Entry::Resume).unwrap();
            let Exit::MmioWrite { address, data } = exit else { panic!("{exit:?}") };
            assert_eq!((address, data.len()), told);
            cpu.restore(&saved, ExtendedRestore::Unchanged).unwrap();
        }
    }
}
