use std::sync::Arc;

use super::*;
use crate::guest_debug::{Length, Trigger};
use crate::kvm::DebugCapabilities;
use crate::memory::{Memory, MemorySize};
use crate::registers::Register;

fn watchpoint(address: u64) -> Breakpoint {
    Breakpoint { address, trigger: Trigger::Write(Length::Four) }
}

/// Reports a stop. Returns whether the vCPUs are paused for it.
fn report(wants: &Wants, vcpu: u32, why: Why) -> bool {
    let mut pauses = false;
    let is_wanted = wants.report(vcpu, why, || pauses = true);
    assert_eq!(is_wanted, pauses);
    pauses
}

/// Lets the vCPUs go on. Returns whether their pause ends.
fn goes_on(wants: &Wants) -> bool {
    let mut ends = false;
    let goes_on = wants.go_on(|| ends = true);
    assert_eq!(goes_on, ends);
    ends
}

#[test]
fn stops_are_told_one_at_a_time_and_only_while_they_are_wanted() {
    let wants = Wants::new().unwrap();
    wants.set(&[0x10, 0x20], &[watchpoint(0x40)]);
    let stops = [
        (0, Why::Breakpoint(0x10)),
        (1, Why::Breakpoint(0x20)),
        (2, Why::Watchpoint(watchpoint(0x40))),
    ];
    for (vcpu, why) in stops {
        assert!(report(&wants, vcpu, why));
    }
    let stopped = |vcpu, why| Some(Event::Stopped { vcpu, why });
    assert_eq!(wants.next_event(), stopped(0, Why::Breakpoint(0x10)));
    wants.set(&[0x10], &[watchpoint(0x40)]);
    assert!(!goes_on(&wants), "the watchpoint's");
    assert_eq!(wants.next_event(), stopped(2, Why::Watchpoint(watchpoint(0x40))));
    assert_eq!((goes_on(&wants), wants.next_event()), (true, None));
    // A vCPU that steps has left the place where it stopped.
    assert!(report(&wants, 1, Why::Breakpoint(0x10)));
    wants.begin_step(1, 7);
    assert_eq!((wants.step_from(1), wants.step_from(0)), (Some(7), None));
    assert!(goes_on(&wants));
    assert!(!wants.steps(1));
    assert_eq!(wants.next_event(), None);
    wants.run_is_over(Some(End::PowerOff));
    wants.run_is_over(None);
    for _ in 0..2 {
        assert_eq!(wants.next_event(), Some(Event::Ended(Some(End::PowerOff))));
    }
}

#[test]
fn the_end_of_a_step_comes_before_the_stops_of_others() {
    let wants = Wants::new().unwrap();
    wants.set(&[0x10], &[]);
    assert!(report(&wants, 0, Why::Breakpoint(0x10)));
    wants.begin_step(1, 7);
    assert_eq!(wants.next_event(), None, "the step has not ended");
    assert!(report(&wants, 1, Why::Step));
    assert!(!wants.steps(1));
    assert_eq!(wants.next_event(), Some(Event::Stopped { vcpu: 1, why: Why::Step }));
    assert!(!goes_on(&wants));
    let stopped = Event::Stopped { vcpu: 0, why: Why::Breakpoint(0x10) };
    assert_eq!(wants.next_event(), Some(stopped));
    // A step that ends while the debugger stops all vCPUs is no news, then or later.
    wants.begin_step(1, 7);
    assert!(report(&wants, 1, Why::Step));
    wants.stop(|| ());
    assert_eq!(wants.next_event(), None);
    wants.begin_step(1, 7);
    wants.stop(|| ());
    assert!(!wants.steps(1) && !report(&wants, 1, Why::Step));
    wants.begin_step(0, 7);
    assert!(!report(&wants, 1, Why::Step), "that of vCPU 1 is an old one");
    assert_eq!(wants.next_event(), None);
    assert!(goes_on(&wants));
}

#[test]
fn a_stop_that_comes_late_pauses_nothing() {
    let late = |why, forget: fn(&Wants)| {
        let wants = Wants::new().unwrap();
        wants.set(&[0x10], &[watchpoint(0x40)]);
        wants.begin_step(1, 7);
        forget(&wants);
        assert!(!report(&wants, 1, why), "{why:?}");
        assert_eq!((wants.steps(1), wants.next_event()), (false, None));
    };
    let whys = [Why::Breakpoint(0x10), Why::Watchpoint(watchpoint(0x40)), Why::Step, Why::Asleep];
    for why in whys {
        late(why, |wants| wants.forget(|| ()));
    }
    for why in [Why::Step, Why::Asleep] {
        late(why, |wants| assert!(goes_on(wants)));
    }
}

#[test]
fn each_vcpu_takes_its_own_registers_once() {
    let wants = Wants::new().unwrap();
    wants.set_registers(1, vec![(Register::Rax, 1), (Register::Rip, 2)]);
    wants.set_registers(0, vec![(Register::Rax, 3)]);
    assert_eq!(wants.take_registers(1), [(Register::Rax, 1), (Register::Rip, 2)]);
    assert_eq!(wants.take_registers(1), []);
    assert_eq!(wants.take_registers(0), [(Register::Rax, 3)]);
}

#[test]
fn more_than_the_host_has_is_refused() {
    let memory = Arc::new(Memory::new(MemorySize::default()).unwrap());
    let means = |breakpoints| Means {
        stopping: Some(DebugCapabilities { breakpoints, steps: true, ..Default::default() }),
        has_watchpoints: breakpoints,
        int3s: None,
        breakpoints: vec![0x1000],
        watchpoints: 0,
        memory: memory.clone(),
    };
    let four = [1, 2, 3, 4];
    assert_eq!(means(true).check(&four[..3], &[]), Ok(()));
    let refused = Err(Refused::TooMany { wanted: 5, others: 1 });
    assert_eq!(means(true).check(&four, &[]), refused);
    assert_eq!(means(true).check(&four[..3], &[watchpoint(8)]), refused);
    assert_eq!(means(true).check(&[1, 1, 1, 1], &[watchpoint(8)]), Ok(()), "one address");
    // The hooks' breakpoint keeps its register, and does not become a reason for single steps.
    let watched = [8, 16, 24, 32].map(watchpoint);
    assert_eq!(means(true).check(&[], &watched), refused);
    // Where each instruction is stepped, there is no limit.
    assert_eq!(means(false).check(&four, &[]), Ok(()));
    assert_eq!(means(false).check(&[], &[watchpoint(8)]), Err(Refused::NoWatchpoints));
    let blind = Means { stopping: None, ..means(true) };
    assert_eq!(blind.check(&[1], &[]), Err(Refused::NoSteps));
    assert_eq!(blind.can_step(), Err(Refused::NoSteps));
}
