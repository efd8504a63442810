use std::sync::{Arc, Mutex};

use iced_x86::code_asm::*;

use crate::controlled::test_guest::{Guest, LAPIC, SHARED, end, start_others};
use crate::controlled::testing::random;
use crate::end::End;
use crate::hook::{ApicEvent, Attach, Context, Hook, IpiMode, Points, Verdict};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u32, ApicEvent)>>>);

impl Attach for Log {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

impl Hook for Log {
    fn points(&self) -> Points {
        Points::APIC
    }

    fn apic(&mut self, context: &mut Context, event: &ApicEvent) -> Verdict {
        if *event == ApicEvent::Halt {
            let behind = context.cpu.registers().unwrap().rip;
            let mut code = [0];
            // Code is mapped where it is in memory.
            context.memory.read(behind - 1, &mut code).unwrap();
            assert_eq!(code, [0xf4], "RIP is {behind:#x}, not behind HLT");
        }
        self.0.lock().unwrap().push((context.vcpu, *event));
        Verdict::Continue
    }
}

const VECTOR: u8 = 0x41;

/// vCPU 0 starts vCPU 1, which sleeps, and sends it an interrupt and an NMI.
fn guest() -> Guest {
    let guest = Guest::new(|a| {
        let mut other = a.create_label();
        let mut wait = a.create_label();
        let mut sleep = a.create_label();
        a.mov(rsi, LAPIC)?;
        a.mov(dword_ptr(rsi + 0xf0), 0x1ff)?;
        a.test(edi, edi)?;
        a.jnz(other)?;
        start_others(a)?;
        a.set_label(&mut wait)?;
        a.cmp(dword_ptr(SHARED), 1)?;
        a.jne(wait)?;
        a.mov(dword_ptr(rsi + 0x310), 1 << 24)?;
        a.mov(dword_ptr(rsi + 0x300), 0x4000 | u32::from(VECTOR))?;
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.cmp(dword_ptr(SHARED), 2)?;
        a.jne(again)?;
        a.mov(dword_ptr(rsi + 0x300), 0x4400)?;
        let mut last = a.create_label();
        a.set_label(&mut last)?;
        a.cmp(dword_ptr(SHARED), 3)?;
        a.jne(last)?;
        end(a, 0)?;
        a.set_label(&mut other)?;
        a.mov(dword_ptr(SHARED), 1)?;
        a.sti()?;
        a.set_label(&mut sleep)?;
        a.hlt()?;
        a.jmp(sleep)
    });
    let guest = guest.handle(VECTOR, |a| {
        a.mov(dword_ptr(rsi + 0xb0), 0)?;
        a.mov(dword_ptr(SHARED), 2)?;
        a.iretq()
    });
    let guest = guest.handle(2, |a| {
        a.mov(dword_ptr(SHARED), 3)?;
        a.iretq()
    });
    guest.with_vcpus(2)
}

#[test]
fn everything_is_told_in_its_order() {
    check(&guest());
}

#[test]
fn at_instruction_granularity_as_well() {
    check(&guest().stepped());
}

fn check(guest: &Guest) {
    let log = Log::default();
    let mut machine = guest.machine();
    machine.attach(&[&log]).unwrap();
    assert_eq!(machine.run(&mut random(1), 100_000).unwrap(), End::Guest { code: 0 });
    let log = log.0.lock().unwrap();
    let of = |vcpu: u32| -> Vec<ApicEvent> {
        log.iter().filter(|(who, _)| *who == vcpu).map(|(_, event)| *event).collect()
    };
    let (targets, write) = (2, |register, value| ApicEvent::Write { register, value });
    assert_eq!(
        of(0),
        [
            // The switch to 64-bit mode reads the vCPU's number.
            ApicEvent::Read { register: 0x20, value: 0 },
            write(0xf0, 0x1ff),
            write(0x300, 0xc_4500),
            ApicEvent::Ipi { mode: IpiMode::Init, targets },
            write(0x300, 0xc_4608),
            ApicEvent::Ipi { mode: IpiMode::Startup { vector: 8 }, targets },
            write(0x310, 1 << 24),
            write(0x300, 0x4041),
            ApicEvent::Ipi { mode: IpiMode::Fixed { vector: VECTOR }, targets },
            write(0x300, 0x4400),
            ApicEvent::Ipi { mode: IpiMode::Nmi, targets },
        ]
    );
    let other = of(1);
    let without_sleep: Vec<_> =
        other.iter().filter(|event| **event != ApicEvent::Halt).copied().collect();
    assert_eq!(
        without_sleep,
        [
            ApicEvent::Init,
            ApicEvent::Startup { page: 8 },
            ApicEvent::Read { register: 0x20, value: 1 << 24 },
            write(0xf0, 0x1ff),
            ApicEvent::Interrupt { vector: VECTOR },
            write(0xb0, 0),
            ApicEvent::EndOfInterrupt { vector: Some(VECTOR) },
            ApicEvent::Nmi,
        ]
    );
    assert!(other.contains(&ApicEvent::Halt));
}

#[test]
fn the_run_stays_the_same() {
    let mut plain = guest().machine();
    plain.run(&mut random(2), 10_000).unwrap();
    let mut told = guest().machine();
    told.attach(&[&Log::default()]).unwrap();
    told.run(&mut random(2), 10_000).unwrap();
    assert_eq!((told.hash(), told.points()), (plain.hash(), plain.points()));
}

/// A vCPU that was given no NMI serves none, whatever KVM says.
#[test]
fn only_an_nmi_that_was_given_is_served() {
    let mut machine = guest().machine();
    machine.vcpus[0].cpu.mask_nmi().unwrap();
    assert!(machine.vcpus[0].cpu.serves_nmi().unwrap(), "KVM says so");
    assert!(!machine.serves_nmi(0).unwrap());
    machine.vcpus[0].shadow.nmi_masked = true;
    assert!(machine.serves_nmi(0).unwrap());
    machine.vcpus[0].cpu.clear_pending().unwrap();
    assert!(!machine.serves_nmi(0).unwrap(), "its IRET has come");
}
