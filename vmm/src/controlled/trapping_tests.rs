//! Trapped memory in a controlled machine.

use std::io::sink;
use std::path::Path;

use iced_x86::code_asm::*;

use crate::controlled::ControlledMachine;
use crate::controlled::test_guest::{DATA, Guest, SHARED, end};
use crate::controlled::testing::random;
use crate::end::End;
use crate::error::Result;
use crate::hook::{Attach, watches};
use crate::kvm::{Host, host};
use crate::testing::Watch;

fn machine(guest: &Guest, hooks: &[&dyn Attach]) -> Result<ControlledMachine> {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    ControlledMachine::watching(&host, &guest.config(), &watches(hooks), Box::new(sink()))
}

fn guest() -> Guest {
    Guest::new(|a| {
        a.mov(rbx, SHARED)?;
        a.mov(dword_ptr(rbx), 1)?;
        a.mov(dword_ptr(rbx + 64), 2)?;
        a.mov(dword_ptr(rbx + 64), 2)?;
        a.mov(eax, 3)?;
        a.lock().xadd(dword_ptr(rbx + 64), eax)?;
        a.mov(dword_ptr(DATA), 4)?;
        end(a, 0)
    })
}

#[test]
fn accesses_to_what_is_shared_are_seen_and_the_run_is_the_same() {
    let mut plain = machine(&guest(), &[]).unwrap();
    assert_eq!(plain.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
    let watch = Watch::of(SHARED + 64..SHARED + 68);
    let mut watched = machine(&guest(), &[&watch]).unwrap();
    watched.attach(&[&watch]).unwrap();
    assert_eq!(watched.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
    assert_eq!((watched.hash(), watched.points()), (plain.hash(), plain.points()));
    let seen: Vec<_> = watch
        .accesses()
        .iter()
        .map(|access| (access.write, access.before, access.value, access.locked))
        .collect();
    let stores = [(true, 0, 2, false), (true, 2, 2, false)];
    assert_eq!(seen, [&stores[..], &[(false, 2, 2, true), (true, 2, 5, true)]].concat());
}

#[test]
fn accesses_to_other_memory_become_scheduling_points() {
    let mut plain = machine(&guest(), &[]).unwrap();
    plain.run(&mut random(1), 1000).unwrap();
    let watch = Watch::of(DATA..DATA + 4);
    let mut watched = machine(&guest(), &[&watch]).unwrap();
    watched.attach(&[&watch]).unwrap();
    assert_eq!(watched.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
    assert_eq!(watched.points(), plain.points() + 1);
    let seen: Vec<_> = watch.accesses().iter().map(|access| access.value).collect();
    assert_eq!(seen, [4]);
}

#[test]
fn what_the_machine_does_not_watch_is_refused() {
    let mut plain = machine(&guest(), &[]).unwrap();
    let text = plain.attach(&[&Watch::of(DATA..DATA + 4)]).unwrap_err().to_string();
    assert!(text.contains("the machine was made without it"), "{text}");
    // Shared memory is trapped anyway.
    plain.attach(&[&Watch::of(SHARED..SHARED + 4)]).unwrap();
}

#[test]
fn at_instruction_granularity_accesses_are_seen_as_well() {
    let watch = Watch::of(SHARED + 64..SHARED + 68);
    let guest = guest().stepped();
    let mut watched = machine(&guest, &[&watch]).unwrap();
    watched.attach(&[&watch]).unwrap();
    assert_eq!(watched.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
    let seen: Vec<_> =
        watch.accesses().iter().map(|access| (access.write, access.value, access.locked)).collect();
    let stores = [(true, 2, false), (true, 2, false)];
    assert_eq!(seen, [&stores[..], &[(false, 2, true), (true, 5, true)]].concat());
}
