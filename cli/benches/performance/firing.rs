//! Measures one firing of a probe on a timer, in comparison with the bare kick that it needs.
//!
//! Two vCPUs run the guest `spin`. A hook asks for its next tick a fixed time after the end of its
//! work. The time between two ticks beyond that fixed time is the cost of a tick: the signal, the
//! exit from the guest, the work, and setting the timer again. (The entry into the guest falls into
//! the fixed time.) The script's own session does the work, but with a clock that is advanced to
//! its next tick, so that `VMM1Hz` fires at every kick.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use criterion::Criterion;
use probes::{Output, Script, Session, Source};
use vmm::End;
use vmm::hook::{Attach, Context, Hook, Points, Verdict};
use vmm::parallel::{self, Options};
use vmm::{CpuCount, GuestImage, Host, Machine, MachineConfig};

use crate::Failure;
use crate::contest::{Contestant, Plan, Rounds, hold};

const PLAN: Plan = Plan {
    name: "firing",
    times: 1,
    samples: 10,
    warm_up: Duration::from_millis(500),
    measurement: Duration::from_secs(4),
    judged: 2,
    rate: None,
};

/// The time from the end of a tick's work to the next tick: long enough that the vCPU is in the
/// guest by then.
const TICK_PAUSE: Duration = Duration::from_micros(300);
/// How long a turn lasts.
const TURN_TIME: Duration = Duration::from_millis(120);
const VCPUS: u32 = 2;
/// If a turn has fewer ticks, something else was measured.
const TICKS_AT_LEAST: usize = 50;

const EMPTY: &str = "(definteger n)\n(VProbe VMM1Hz (setint n VCPUID))\n";
const PRINTF: &str = "(VProbe VMM1Hz (printf \"CPUD: %d Stack: %s\\n\" VCPUID \"none\"))\n";
const PARTIAL: &str = "(VProbe VMM1Hz (printf \"CPUD: %d Stack: %s\" VCPUID \"none\"))\n";
const GUESTSTACK: &str = "(defstring stack)\n(VProbe VMM1Hz (gueststack stack))\n";

pub(crate) fn measure(criterion: &mut Criterion, host: &Host) -> Result<Rounds, Failure> {
    let script = |name, text: &'static str| {
        let sources = [Source::new("bench", text)];
        let script = Script::load(&sources, &probes::Options::default())
            .map_err(|diagnostics| format!("{name}: {diagnostics}"));
        script.map(|script| Contestant {
            name,
            goal: None,
            turn: Box::new(move || turn_of_script(host, &script)),
        })
    };
    let contestants = vec![
        script("gueststack and printf", probes::ONE_GOOD_PROBE)?,
        Contestant {
            name: "kick",
            goal: None,
            turn: Box::new(|| turn(host, &|| Box::new(Nothing))),
        },
        Contestant {
            name: "kick, registers read",
            goal: None,
            turn: Box::new(|| turn(host, &|| Box::new(ReadRegisters))),
        },
        Contestant {
            name: "kick, system registers read",
            goal: None,
            turn: Box::new(|| turn(host, &|| Box::new(ReadSystemRegisters))),
        },
        script("a script that does nothing", EMPTY)?,
        script("printf without a newline", PARTIAL)?,
        script("printf", PRINTF)?,
        script("gueststack", GUESTSTACK)?,
    ];
    Ok(hold(criterion, &PLAN, contestants))
}

/// The work at a tick.
trait Work: Send {
    fn start(&mut self, _: &mut Context) {}
    fn work(&mut self, context: &mut Context);
    fn stop(&mut self, _: &mut Context) {}
}

struct Nothing;

impl Work for Nothing {
    fn work(&mut self, _: &mut Context) {}
}

struct ReadRegisters;

impl Work for ReadRegisters {
    fn work(&mut self, context: &mut Context) {
        std::hint::black_box(context.cpu.registers().ok());
    }
}

struct ReadSystemRegisters;

impl Work for ReadSystemRegisters {
    fn work(&mut self, context: &mut Context) {
        std::hint::black_box(context.cpu.system_registers().ok());
    }
}

/// A session's hook with a clock that advances only on request.
struct Fire(Box<dyn Hook>);

impl Work for Fire {
    fn start(&mut self, context: &mut Context) {
        self.0.start(context);
    }

    fn work(&mut self, context: &mut Context) {
        if let Some(due) = self.0.next_tick() {
            let mut context = Context {
                vcpu: context.vcpu,
                vcpus: context.vcpus,
                cpu: &mut *context.cpu,
                memory: context.memory,
                now: due,
                point: None,
                started: context.started,
                held: context.held,
                actions: None,
            };
            self.0.tick(&mut context);
        }
    }

    fn stop(&mut self, context: &mut Context) {
        self.0.stop(context);
    }
}

/// The time that each tick took beyond the pause before it.
type Taken = Vec<Duration>;

/// Does its work at each tick.
struct Ticker {
    work: Box<dyn Work>,
    /// When the next tick is due, as time since the machine started.
    due: Duration,
    /// When the work of the last tick was done.
    done: Option<Instant>,
    taken: Taken,
    total: Arc<Mutex<Taken>>,
}

impl Hook for Ticker {
    fn points(&self) -> Points {
        Points::START | Points::STOP
    }

    fn start(&mut self, context: &mut Context) {
        self.work.start(context);
    }

    fn next_tick(&self) -> Option<Duration> {
        Some(self.due)
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        let begun = Instant::now();
        self.work.work(context);
        let done = Instant::now();
        // A vCPU's first ticks are left out, because the guest is still starting, with all its page
        // faults.
        if let Some(last) = self.done.filter(|_| context.now > TURN_TIME / 4) {
            self.taken.push(done.duration_since(last).saturating_sub(TICK_PAUSE));
        }
        if context.started {
            self.done = Some(done);
        }
        self.due = context.now + done.duration_since(begun) + TICK_PAUSE;
        Verdict::Continue
    }

    fn stop(&mut self, context: &mut Context) {
        self.work.stop(context);
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        total.append(&mut self.taken);
    }
}

struct Tickers<'a> {
    work: &'a (dyn Fn(u32, u32) -> Box<dyn Work> + Sync),
    total: Arc<Mutex<Taken>>,
}

impl Attach for Tickers<'_> {
    fn attach(&self, vcpu: u32, vcpus: u32) -> Box<dyn Hook> {
        Box::new(Ticker {
            work: (self.work)(vcpu, vcpus),
            due: TICK_PAUSE,
            done: None,
            taken: Taken::new(),
            total: Arc::clone(&self.total),
        })
    }
}

fn turn_of_script(host: &Host, script: &Script) -> Result<Duration, Failure> {
    let output = Output::to_streams(Box::new(std::io::sink()), Box::new(std::io::sink()), None)?;
    let session = Session::new(script, output.sink());
    let time = spin(host, &|vcpu, vcpus| Box::new(Fire(session.attach(vcpu, vcpus))))?;
    output.finish()?;
    match session.counts().iter().map(|count| count.cancelled).sum() {
        0u64 if session.has_fired() => Ok(time),
        cancelled => Err(format!("{cancelled} firings were cancelled, or none fired").into()),
    }
}

fn turn(host: &Host, work: &(dyn Fn() -> Box<dyn Work> + Sync)) -> Result<Duration, Failure> {
    spin(host, &|_, _| work())
}

/// Runs the guest for a turn, and returns the cost of one tick, over all vCPUs.
fn spin(
    host: &Host,
    work: &(dyn Fn(u32, u32) -> Box<dyn Work> + Sync),
) -> Result<Duration, Failure> {
    let guest = guests::find("spin").ok_or("there is no guest `spin`")?;
    let guest = GuestImage { name: guest.name.into(), bytes: guest.image.into() };
    let config = MachineConfig::new(guest, CpuCount::new(VCPUS)?);
    let machine = Machine::new(host, &config, Box::new(std::io::sink()))?;
    let tickers = Tickers { work, total: Arc::default() };
    let options = Options { timeout: Some(TURN_TIME), ..Default::default() };
    let outcome = parallel::run(machine, &[&tickers], options)?;
    let mut taken = tickers.total.lock().unwrap_or_else(PoisonError::into_inner);
    // This is the median, because a tick that had to wait for a core says nothing about its cost.
    taken.sort_unstable();
    match outcome.end {
        End::TimeLimit if taken.len() >= TICKS_AT_LEAST => Ok(taken[taken.len() / 2]),
        end => Err(format!("{} ticks: {end}", taken.len()).into()),
    }
}
