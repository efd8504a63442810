//! The remote control of real guests.

use std::io::sink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use iced_x86::code_asm::*;

use super::super::*;
use super::*;
use crate::controlled::test_guest::{DATA, Guest, start_others};
use crate::end::{End, HangEvidence};
use crate::kvm::{Host, host};
use crate::registers::Activity;

/// Counts at [`DATA`] for ever on vCPU 0, with interrupts off. NMIs count at `DATA + 8`; the second
/// one ends the run.
fn counter(vcpus: u32) -> Guest {
    Guest::new(|a| {
        let mut count = a.create_label();
        a.mov(rsi, DATA)?;
        a.set_label(&mut count)?;
        a.inc(dword_ptr(rsi))?;
        a.jmp(count)
    })
    .handle(2, |a| {
        let mut more = a.create_label();
        a.inc(dword_ptr(rsi + 8))?;
        a.cmp(dword_ptr(rsi + 8), 2)?;
        a.jne(more)?;
        a.xor(eax, eax)?;
        a.out(0xf4u32, eax)?;
        a.set_label(&mut more)?;
        a.iretq()
    })
    .with_vcpus(vcpus)
}

/// Runs a guest while `act` has its remote control.
fn with_remote(
    guest: &Guest,
    options: Options,
    act: impl FnOnce(&Remote) + Send + 'static,
) -> Outcome {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let machine = Machine::new(&host, &guest.config(), Box::new(sink())).unwrap();
    let remote = Remote::default();
    assert_eq!(remote.status(), Err(NotRunning));
    let of_thread = remote.clone();
    let acting = thread::spawn(move || {
        while of_thread.status().is_err() {
            thread::yield_now();
        }
        act(&of_thread);
    });
    let outcome = run(machine, &[], Options { remote: Some(&remote), ..options }).unwrap();
    acting.join().unwrap();
    assert_eq!(remote.pause(), Err(NotRunning), "the run has ended");
    outcome
}

fn within(seconds: u64) -> Options<'static> {
    Options { timeout: Some(Duration::from_secs(seconds)), ..Options::default() }
}

fn counted(remote: &Remote) -> u32 {
    remote.when_stopped(|machine| machine.memory.read_u32(DATA).unwrap()).unwrap()
}

fn wait_for_more(remote: &Remote, than: u32) {
    while counted(remote) <= than {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_waits_for_a_machine_is_woken_when_it_runs() {
    let remote = Remote::default();
    let begin = Instant::now();
    remote.wait_for_machine(Duration::from_millis(20));
    assert!(begin.elapsed() >= Duration::from_millis(20), "there is none");
    let waiter = remote.clone();
    let waiting = thread::spawn(move || {
        waiter.wait_for_machine(Duration::from_secs(20));
        waiter.status().is_ok()
    });
    let _attached = remote.attach(Arc::new(Control::new(1).unwrap()));
    assert!(waiting.join().unwrap());
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_paused_guest_stands_still_and_goes_on() {
    let outcome = with_remote(&counter(2), within(20), |remote| {
        wait_for_more(remote, 0);
        assert_eq!(remote.pause(), Ok(true));
        assert_eq!(remote.pause(), Ok(false));
        let before = counted(remote);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(counted(remote), before);
        let status = remote.status().unwrap();
        assert_eq!((status.standstills, status.exits.len()), (vec![Standstill::Paused], 2));
        assert!(status.paused >= Duration::from_millis(50) && status.time > status.paused);
        let activities = remote.when_stopped(|machine| {
            machine.vcpus.iter().map(|vcpu| vcpu.activity).collect::<Vec<_>>()
        });
        assert_eq!(activities.unwrap(), [Activity::Running, Activity::WaitForSipi]);
        let ended = vec![Standstill::Paused];
        assert_eq!((remote.resume(), remote.resume()), (Ok(ended), Ok(Vec::new())));
        wait_for_more(remote, before);
        // vCPU 1 waits for its SIPI, and takes no NMI.
        remote.send_nmis(0b11).unwrap();
        let nmis = || remote.when_stopped(|m| m.memory.read_u32(DATA + 8).unwrap()).unwrap();
        while nmis() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        remote.send_nmis(1).unwrap();
    });
    assert_eq!(outcome.end, End::Guest { code: 0 });
}

#[test]
fn a_pause_takes_nothing_from_the_time_limit_and_is_no_hang() {
    let second = Duration::from_secs(1);
    let options =
        Options { watchdog: Some(second / 4), timeout: Some(second / 2), ..Options::default() };
    // A guest that is active, so that the watchdog has no reason to end the run but the pause.
    let guest = Guest::new(|a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.in_(al, 0x80u32)?;
        a.jmp(again)
    });
    let outcome = with_remote(&guest, options, move |remote| {
        remote.pause().unwrap();
        thread::sleep(second);
        remote.resume().unwrap();
    });
    assert_eq!(outcome.end, End::TimeLimit);
    assert!(outcome.elapsed >= second + second / 2, "{:?}", outcome.elapsed);
}

#[test]
fn a_paused_machine_ends_when_its_run_does() {
    let outcome = with_remote(&counter(1), within(1), |remote| {
        remote.pause().unwrap();
        let control = remote.control().unwrap();
        control.end(End::Interrupted);
        assert_eq!(remote.when_stopped(|_| ()), Err(NotRunning));
    });
    assert_eq!(outcome.end, End::Interrupted);
}

#[test]
fn many_threads_look_at_once() {
    let outcome = with_remote(&counter(2), within(20), |remote| {
        let lookers: Vec<_> = (0..8)
            .map(|_| {
                let remote = remote.clone();
                thread::spawn(move || {
                    for _ in 0..10 {
                        counted(&remote);
                    }
                })
            })
            .collect();
        for looker in lookers {
            looker.join().unwrap();
        }
        // Before it counts, the guest has no handler.
        wait_for_more(remote, 0);
        remote.send_nmis(1).unwrap();
        while remote.send_nmis(1).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(outcome.end, End::Guest { code: 0 });
}

#[test]
fn a_hang_is_examined_before_the_run_ends_and_stays_the_verdict() {
    // The second vCPU spins as well, and the first one would end the run successfully.
    let guest = Guest::new(|a| {
        let (mut first, mut spin) = (a.create_label(), a.create_label());
        a.test(edi, edi)?;
        a.jz(first)?;
        a.set_label(&mut spin)?;
        a.jmp(spin)?;
        a.set_label(&mut first)?;
        start_others(a)?;
        a.jmp(spin)
    })
    .handle(2, |a| {
        a.xor(eax, eax)?;
        a.out(0xf4u32, eax)?;
        a.hlt()
    })
    .with_vcpus(2);
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let machine = Machine::new(&host, &guest.config(), Box::new(sink())).unwrap();
    let (remote, calls) = (Remote::default(), AtomicU32::new(0));
    let on_hang = |end: &End| {
        assert_eq!(*end, End::Hang(HangEvidence::Watchdog));
        calls.fetch_add(1, Ordering::SeqCst);
        assert!(remote.status().unwrap().hung);
        assert!(remote.sampled_rips().unwrap().iter().all(|rips| !rips.is_empty()));
        remote.send_nmis(1).unwrap();
        while remote.status().is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let options = Options {
        watchdog: Some(Duration::from_millis(300)),
        remote: Some(&remote),
        on_hang: Some(&on_hang),
        ..within(20)
    };
    let outcome = run(machine, &[], options).unwrap();
    assert_eq!(outcome.end, End::Hang(HangEvidence::Watchdog));
    assert_eq!(calls.into_inner(), 1);
}
