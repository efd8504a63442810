//! Self-test of kicking a vCPU that spins in the guest and never exits by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::bench::TEST_TIMEOUT;
use super::outcome::{Outcome, Samples, Stop, Tested};
use super::test_guest::TestGuest;
use crate::cpu::Cpu;
use crate::exit::{Entry, Exit};
use crate::kvm::kick::Kicker;

const KICKS: usize = 60;
/// A busy host doesn't have time for all of them; this many show that kicks work, and their cost.
const ENOUGH_KICKS: usize = 10;
/// How long the guest spins before it is kicked.
const SPIN: Duration = Duration::from_micros(300);

/// Measures the time from the kick to the return of `KVM_RUN`; the median is the cost.
pub(super) fn spinning(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        let mut here = a.create_label();
        a.set_label(&mut here)?;
        a.jmp(here)
    })?;
    bench.spins = true;
    let kicker = Kicker::default();
    let receiving = kicker.receive()?;
    // The alarm ends the run if no kick works.
    bench.allow(TEST_TIMEOUT * 4)?;
    let deadline = Instant::now() + TEST_TIMEOUT * 3;
    let entering = AtomicBool::new(false);
    let (kicked, kicks) = mpsc::channel();
    let times = thread::scope(|scope| {
        let (kicker, entering) = (&kicker, &entering);
        scope.spawn(move || {
            for _ in 0..KICKS {
                while !entering.swap(false, Ordering::Acquire) {
                    if Instant::now() > deadline {
                        return;
                    }
                    thread::sleep(SPIN / 10);
                }
                thread::sleep(SPIN);
                let now = Instant::now();
                kicker.kick();
                if kicked.send(now).is_err() {
                    return;
                }
            }
        });
        let mut times = Vec::new();
        while times.len() < KICKS && Instant::now() < deadline {
            entering.store(true, Ordering::Release);
            match bench.cpu.run(Entry::Resume)? {
                Exit::Kicked => {}
                exit => return Err(Stop::from(bench.odd(&exit))),
            }
            let back = Instant::now();
            let Ok(sent) = kicks.recv_timeout(TEST_TIMEOUT) else { break };
            times.push(back.saturating_duration_since(sent));
        }
        drop(kicks);
        Ok(times)
    })?;
    drop(receiving);
    let count = times.len();
    if count < ENOUGH_KICKS {
        return Ok(Outcome::partly(format!("{count} of {KICKS} kicks in time")));
    }
    let times: Samples = times.into_iter().collect();
    let detail = format!("p50; p99 {} of {count} kicks", times.quantile(0.99));
    Ok(Outcome::works(detail).costing(times.median()))
}
