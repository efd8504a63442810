//! Watches that are added to running guests, with the real KVM.

use std::io::sink;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use iced_x86::code_asm::*;

use crate::controlled::test_guest::{Guest, PML4, SHARED, start_others};
use crate::end::End;
use crate::error::Result;
use crate::hook::{Access, Attach, Context, Hook, Points, Verdict};
use crate::kvm::{Host, host};
use crate::machine::Machine;
use crate::memory::Memory;
use crate::parallel::{Options, Outcome, Remote, run};

/// Records the accesses to memory that is watched only since the machine runs, and holds the vCPU
/// behind each.
#[derive(Clone, Default)]
struct Late {
    hold: Duration,
    seen: Arc<Mutex<Vec<(u32, Access)>>>,
}

impl Late {
    fn accesses(&self) -> Vec<Access> {
        self.seen.lock().unwrap().iter().map(|(_, access)| *access).collect()
    }
}

impl Attach for Late {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

impl Hook for Late {
    fn points(&self) -> Points {
        Points::ADDED_WATCH
    }

    fn access(&mut self, context: &mut Context, access: &Access) -> Verdict {
        self.seen.lock().unwrap().push((context.vcpu, *access));
        if self.hold.is_zero() { Verdict::Continue } else { Verdict::Hold(self.hold) }
    }
}

/// All vCPUs count for ever: unlocked at [`SHARED`] and `SHARED + 8` (vCPU 0 only), locked at
/// `SHARED + 4`. An NMI ends the run.
fn counter(vcpus: u32) -> Guest {
    Guest::new(|a| {
        let (mut count, mut locked) = (a.create_label(), a.create_label());
        a.mov(rsi, SHARED)?;
        a.test(edi, edi)?;
        a.jnz(count)?;
        start_others(a)?;
        a.set_label(&mut count)?;
        a.test(edi, edi)?;
        a.jnz(locked)?;
        a.inc(dword_ptr(rsi))?;
        a.inc(dword_ptr(rsi + 8))?;
        a.set_label(&mut locked)?;
        a.lock().inc(dword_ptr(rsi + 4))?;
        a.jmp(count)
    })
    .handle(2, |a| {
        a.xor(eax, eax)?;
        a.out(0xf4u32, eax)?;
        a.hlt()
    })
    .with_vcpus(vcpus)
}

fn with_remote(guest: &Guest, late: &Late, act: impl FnOnce(&Remote) + Send + 'static) -> Outcome {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let machine = Machine::new(&host, &guest.config(), Box::new(sink())).unwrap();
    let remote = Remote::default();
    let of_thread = remote.clone();
    let acting = thread::spawn(move || {
        of_thread.wait_for_machine(Duration::from_secs(10));
        act(&of_thread);
        let _ = of_thread.send_nmis(1);
    });
    let timeout = Some(Duration::from_secs(20));
    let options = Options { remote: Some(&remote), timeout, ..Options::default() };
    let outcome = run(machine, &[late], options).unwrap();
    acting.join().unwrap();
    outcome
}

fn word(memory: &Memory, at: u64) -> u64 {
    memory.read_u32(SHARED + at).unwrap().into()
}

/// Adds a watch, and returns the counters at [`SHARED`] and `SHARED + 4` at that moment.
fn watch(remote: &Remote, at: u64) -> Result<(u64, u64)> {
    let answer = remote.when_stopped(move |machine| {
        machine.watch((SHARED + at..SHARED + at + 4).into())?;
        Ok((word(machine.memory, 0), word(machine.memory, 4)))
    });
    answer.unwrap()
}

fn unwatch(remote: &Remote, at: u64) -> (u64, u64) {
    let answer = remote.when_stopped(move |machine| {
        machine.unwatch(&(SHARED + at..SHARED + at + 4).into()).unwrap();
        (word(machine.memory, 0), word(machine.memory, 4))
    });
    answer.unwrap()
}

fn wait_until(done: impl Fn() -> bool) {
    while !done() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn counts_on(remote: &Remote, than: u64) {
    let count = || remote.when_stopped(|machine| word(machine.memory, 0)).unwrap();
    wait_until(|| count() > than);
}

#[test]
fn accesses_are_seen_from_the_moment_of_the_watch_to_its_end() {
    let late = Late::default();
    let of_thread = late.clone();
    let outcome = with_remote(&counter(1), &late, move |remote| {
        counts_on(remote, 1000);
        assert_eq!(of_thread.accesses(), []);
        let (first, _) = watch(remote, 0).unwrap();
        wait_until(|| of_thread.accesses().len() > 100);
        let (last, _) = unwatch(remote, 0);
        let seen = of_thread.accesses();
        // Each unlocked addition is a load and a store, and none is missing: neither of those to
        // other bytes of the page, which are not reported, nor at the start or the end.
        let stores = seen.iter().filter(|access| access.write).map(|access| access.value);
        assert!(stores.eq(first + 1..=last), "{first}..{last}: {seen:?}");
        assert!(seen.iter().filter(|access| !access.write).count() as u64 >= last - first);
        assert!(seen.iter().all(|access| access.address == SHARED && !access.locked));
        counts_on(remote, last + 1000);
        assert_eq!(of_thread.accesses(), seen);
        // Two watches on one page: the page stays trapped for the other.
        watch(remote, 0).unwrap();
        watch(remote, 8).unwrap();
        unwatch(remote, 0);
        let of_other = |access: &Access| access.address == SHARED + 8;
        wait_until(|| of_thread.accesses().iter().filter(|one| of_other(one)).count() > 10);
    });
    assert_eq!(outcome.end, End::Guest { code: 0 });
    let exits = outcome.vcpus[0].watching.as_ref().unwrap().exits;
    assert!(exits >= late.accesses().len() as u64);
    let trapped = outcome.memory.trapped();
    assert!(trapped.len() == 1 && trapped[0] == (SHARED..SHARED + 0x1000), "{trapped:?}");
}

#[test]
fn locked_instructions_of_two_vcpus_lose_nothing() {
    let late = Late::default();
    let of_thread = late.clone();
    let outcome = with_remote(&counter(2), &late, move |remote| {
        counts_on(remote, 100);
        for _ in 0..5 {
            let (_, first) = watch(remote, 4).unwrap();
            let of_both = || {
                let seen = of_thread.seen.lock().unwrap();
                (0..2).all(|vcpu| seen.iter().filter(|(of, _)| *of == vcpu).count() > 100)
            };
            wait_until(of_both);
            let (_, last) = unwatch(remote, 4);
            let seen = std::mem::take(&mut *of_thread.seen.lock().unwrap());
            let stores = seen.iter().filter(|(_, access)| access.write);
            let mut stored: Vec<_> = stores.map(|(_, access)| access.value).collect();
            stored.sort_unstable();
            assert!(stored.into_iter().eq(first + 1..=last), "{first}..{last}");
        }
    });
    assert_eq!(outcome.end, End::Guest { code: 0 });
}

/// A vCPU is held between the load and the store of an addition while the page is given back: its
/// store may have exited already.
#[test]
fn an_outstanding_access_is_done_when_the_page_is_given_back() {
    let late = Late { hold: Duration::from_millis(5), ..Late::default() };
    let of_thread = late.clone();
    let outcome = with_remote(&counter(1), &late, move |remote| {
        for round in 0..20 {
            watch(remote, 0).unwrap();
            wait_until(|| of_thread.accesses().len() > 3);
            thread::sleep(Duration::from_millis(round % 7));
            let (last, _) = unwatch(remote, 0);
            counts_on(remote, last + 10);
            of_thread.seen.lock().unwrap().clear();
        }
    });
    assert_eq!(outcome.end, End::Guest { code: 0 });
    // Both counters are added to in turn.
    assert!(word(&outcome.memory, 0).abs_diff(word(&outcome.memory, 8)) <= 1);
}

#[test]
fn what_can_t_be_watched_is_refused_and_the_machine_goes_on() {
    let late = Late::default();
    let outcome = with_remote(&counter(1), &late, move |remote| {
        // Before, there are no page tables.
        counts_on(remote, 0);
        let refused = |range: std::ops::Range<u64>| {
            let answer = remote.when_stopped(move |machine| machine.watch(range.into()));
            answer.unwrap().unwrap_err().to_string()
        };
        let text = refused(PML4..PML4 + 8);
        assert!(text.contains("page table") && text.contains("in a watched page"), "{text}");
        assert!(refused(1 << 40..(1 << 40) + 8).contains("not all of it is RAM"));
        counts_on(remote, 1000);
    });
    assert_eq!(outcome.end, End::Guest { code: 0 });
    assert!(late.accesses().is_empty() && !outcome.memory.has_trapped_pages());
}
