//! Accesses to model-specific registers, in both schedulers against the real KVM.

use std::io::sink;
use std::path::Path;

use iced_x86::code_asm::*;

use crate::controlled::ControlledMachine;
use crate::controlled::test_guest::Guest;
use crate::controlled::testing::random;
use crate::end::End;
use crate::error::Result;
use crate::hook::MsrAccess;
use crate::kvm::DebugCapabilities;
use crate::kvm::{Host, host};
use crate::machine::Machine;
use crate::parallel::{self, Options};
use crate::testing::Msrs;

const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const EFER: u32 = 0xc000_0080;
/// An MSR that no processor has, in the range of those that KVM knows.
const NONE: u32 = 0x1fff;

/// Counts #GPs in EBP.
fn guest() -> Guest {
    let guest = Guest::new(|a| {
        a.xor(ebp, ebp)?;
        a.mov(ecx, SYSENTER_CS)?;
        a.mov(eax, 0x1234)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
        a.xor(eax, eax)?;
        a.rdmsr()?;
        a.mov(ebx, eax)?;
        // Not a chosen MSR.
        a.mov(ecx, SYSENTER_ESP)?;
        a.wrmsr()?;
        a.mov(ecx, EFER)?;
        a.rdmsr()?;
        a.wrmsr()?;
        a.mov(ecx, NONE)?;
        a.rdmsr()?;
        // 0x1234, and one #GP.
        a.sub(ebx, 0x1234)?;
        a.sub(ebp, 1)?;
        a.or(ebx, ebp)?;
        a.mov(eax, ebx)?;
        a.out(0xf4u32, eax)?;
        a.hlt()
    });
    guest.handle(13, |a| {
        a.inc(ebp)?;
        a.add(qword_ptr(rsp + 8), 2)?;
        a.add(rsp, 8)?;
        a.iretq()
    })
}

fn verify(msrs: &Msrs) {
    let seen = msrs.accesses();
    let access = |index, write, value| MsrAccess { index, write, value };
    let efer = seen.iter().rev().find(|access| access.index == EFER).unwrap().value;
    assert_eq!(efer.unwrap() & 0x500, 0x500, "long mode is on");
    let (before, own) = seen.split_at(seen.len() - 5);
    assert_eq!(
        own,
        [
            access(SYSENTER_CS, true, Some(0x1234)),
            access(SYSENTER_CS, false, Some(0x1234)),
            access(EFER, false, efer),
            access(EFER, true, efer),
            access(NONE, false, None),
        ]
    );
    // Before that, the switch to long mode.
    assert_eq!(before, [access(EFER, true, Some(0x100))]);
}

fn host() -> Host {
    Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap()
}

fn run(hooks: &Msrs) -> Result<parallel::Outcome> {
    let machine = Machine::new(&host(), &guest().config(), Box::new(sink()))?;
    parallel::run(machine, &[hooks], Options::default())
}

#[test]
fn chosen_ones_are_seen_by_the_parallel_driver() {
    let msrs = Msrs::of(&[SYSENTER_CS, EFER, NONE]);
    let outcome = run(&msrs).unwrap();
    assert!(matches!(outcome.end, End::Guest { code: 0 }), "{:?}", outcome.end);
    verify(&msrs);
}

#[test]
fn chosen_ones_are_seen_by_the_controlled_driver_and_change_nothing() {
    let mut guests = vec![guest()];
    // It causes an exception.
    if DebugCapabilities::of(&host()).steps_into_handlers {
        guests.push(guest().stepped());
    }
    for guest in guests {
        let mut plain = guest.machine();
        assert_eq!(plain.run(&mut random(1), 100_000).unwrap(), End::Guest { code: 0 });
        let msrs = Msrs::of(&[SYSENTER_CS, EFER, NONE]);
        let mut machine = guest.machine();
        machine.attach(&[&msrs]).unwrap();
        assert_eq!(machine.run(&mut random(1), 100_000).unwrap(), End::Guest { code: 0 });
        assert_eq!(machine.hash(), plain.hash());
        verify(&msrs);
    }
}

#[test]
fn what_can_not_be_seen_is_refused_by_name() {
    for (index, reason) in [(0x802, "x2APIC"), (0x9000_0000, "KVM has none of this number")] {
        let text = run(&Msrs::of(&[index])).unwrap_err().to_string();
        assert!(text.contains(reason) && text.contains(&format!("{index:#x}")), "{text}");
        let mut machine: ControlledMachine = guest().machine();
        let refused = machine.attach(&[&Msrs::of(&[index])]).unwrap_err();
        assert_eq!(refused.to_string(), text);
    }
}
