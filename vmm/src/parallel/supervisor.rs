//! The thread that supervises a run: its end, the time limit, the watchdog, signals, console input,
//! disks and deferred work.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use event_manager::{EventManager, EventOps, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::timerfd::TimerFd;

use super::Options;
use super::control::{Control, broken};
use super::deferred::DeferredWork;
use super::disk::{DiskCourier, RunningDisk};
use super::input::Input;
use super::listen::listen;
use crate::board::Board;
use crate::criteria::Criteria;
use crate::end::{End, HangEvidence};
use crate::error::Result;
use crate::kvm::KvmIrqchip;
use crate::signals::{Request, Signals};
use crate::virtio::Deferred;
use crate::watchdog::{Standing, Track, Watch, Watchdog};

/// The parts of the machine that the supervisor serves.
pub(super) struct Wards<'a> {
    pub(super) board: &'a Board,
    pub(super) disks: &'a [RunningDisk],
    pub(super) deferred: &'a [Deferred],
    pub(super) irqchip: KvmIrqchip,
}

/// Supervises the run, and returns when it is over.
pub(super) fn watch(
    control: &Control,
    wards: Wards,
    criteria: &Criteria,
    options: Options,
) -> Result<()> {
    let Wards { board, disks, deferred, irqchip } = wards;
    let mut manager: EventManager<Box<dyn MutEventSubscriber + '_>> =
        EventManager::new().map_err(|error| broken(io::Error::other(format!("{error:?}"))))?;
    manager.add_subscriber(Box::new(Ended(control)));
    if let Some(time) = options.timeout {
        let limit = TimeLimit { control, board, criteria, time, timer: timer(time, None)? };
        manager.add_subscriber(Box::new(limit));
    }
    let input_open = Rc::new(Cell::new(options.console_input));
    if let Some(window) = options.watchdog {
        let watchdog = Watchdog::new(window);
        let timer = timer(watchdog.interval(), Some(watchdog.interval()))?;
        let input = input_open.clone();
        let examines = options.on_hang.is_some();
        let is_stopped = false;
        let watcher = Watcher {
            control,
            board,
            disks,
            criteria,
            input,
            examines,
            watchdog,
            is_stopped,
            timer,
        };
        manager.add_subscriber(Box::new(watcher));
    }
    if let Some(signals) = options.signals {
        manager.add_subscriber(Box::new(Stop { control, signals }));
    }
    for disk in disks {
        let courier = DiskCourier::new(control, board, irqchip.clone(), disk);
        manager.add_subscriber(Box::new(courier));
    }
    for deferred in deferred {
        let (irqchip, outlet) = (irqchip.clone(), options.outlet);
        let work = DeferredWork::new(control, board, irqchip, deferred, outlet)?;
        manager.add_subscriber(Box::new(work));
    }
    if options.console_input {
        manager.add_subscriber(Box::new(Input::new(
            control,
            board,
            irqchip,
            input_open,
            options.keys,
        )?));
    }
    while !control.is_over() {
        manager.run().map_err(|error| broken(io::Error::other(format!("{error:?}"))))?;
    }
    Ok(())
}

fn timer(first: Duration, interval: Option<Duration>) -> Result<TimerFd> {
    let mut timer = TimerFd::new().map_err(|errno| broken(errno.into()))?;
    timer.reset(first, interval).map_err(|errno| broken(errno.into()))?;
    Ok(timer)
}

/// Wakes the loop when the run has ended.
struct Ended<'a>(&'a Control);

impl MutEventSubscriber for Ended<'_> {
    fn process(&mut self, _: Events, _: &mut EventOps) {}

    fn init(&mut self, ops: &mut EventOps) {
        listen(self.0, ops, self.0.ended());
    }
}

struct TimeLimit<'a> {
    control: &'a Control,
    board: &'a Board,
    criteria: &'a Criteria,
    time: Duration,
    timer: TimerFd,
}

/// The interval at which an expired time limit checks a machine that is paused.
const PAUSE_POLL_INTERVAL: Duration = Duration::from_millis(50);

impl MutEventSubscriber for TimeLimit<'_> {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        let left = self.time.saturating_sub(self.control.unpaused_time());
        if !left.is_zero() {
            let _ = self.timer.wait();
            let again = self.timer.reset(left.max(PAUSE_POLL_INTERVAL), None);
            return again.unwrap_or_else(|errno| self.control.fail(broken(errno.into())));
        }
        let limit = if self.criteria.expects() { End::Missed } else { End::TimeLimit };
        self.control.end(self.board.panic().unwrap_or(limit));
    }

    fn init(&mut self, ops: &mut EventOps) {
        listen(self.control, ops, &self.timer);
    }
}

struct Watcher<'a> {
    control: &'a Control,
    board: &'a Board,
    disks: &'a [RunningDisk],
    criteria: &'a Criteria,
    /// Whether more console input may come.
    input: Rc<Cell<bool>>,
    /// Whether a hung machine is examined before the run ends.
    examines: bool,
    watchdog: Watchdog,
    /// Whether the vCPUs were to stop at the last tick.
    is_stopped: bool,
    timer: TimerFd,
}

impl MutEventSubscriber for Watcher<'_> {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        let _ = self.timer.wait();
        let control = self.control;
        if control.found_hang().get().is_some() {
            return;
        }
        // vCPUs that are stopped for a moment, as those of a machine that is looked at again and
        // again, are judged at the next tick. Those that were stopped at the last one, too, may be
        // for longer.
        let was_stopped = std::mem::replace(&mut self.is_stopped, control.barrier().is_called());
        if control.is_suspended() || was_stopped && self.is_stopped {
            self.watchdog.postpone(control.now());
            return control.clear_samples();
        }
        if self.is_stopped {
            return;
        }
        let tracks = control.tracks();
        match self.watchdog.look(control.now(), control.activity(), &tracks) {
            Watch::Wait => {}
            Watch::Restart => {
                control.set_alive(control.now());
                control.clear_samples();
            }
            Watch::Sample => control.request_samples(),
            Watch::Starved { time, vcpus } => {
                warn_of_starved(time, &vcpus);
                control.request_samples();
            }
            // The guest may wait for a slow disk of the host, which is not its fault.
            Watch::Hung | Watch::Quiet if self.disks.iter().any(RunningDisk::is_busy) => {
                self.watchdog.postpone(control.now());
            }
            // The guest sleeps until the user types something.
            Watch::Quiet if self.input.get() && self.board.interrupts_on_input() => {
                self.watchdog.postpone(control.now());
            }
            Watch::Quiet if self.board.idles() => self.watchdog.postpone(control.now()),
            Watch::Quiet if self.criteria.quiet_passes() => {
                let window = self.watchdog.window();
                let unstarted = |track: &Track| track.standing(window) == Standing::NotStarted;
                let unstarted = (0..).zip(&tracks).filter(|(_, track)| unstarted(track));
                control.end(End::Quiet { unstarted: unstarted.map(|(vcpu, _)| vcpu).collect() });
            }
            // A kernel that has panicked spins, too.
            Watch::Hung | Watch::Quiet => {
                let hang = End::Hang(HangEvidence::Watchdog);
                let end = self.board.panic().unwrap_or(hang);
                if self.examines {
                    control.found_hang().set(end, control.now());
                } else {
                    control.end(end);
                }
            }
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        listen(self.control, ops, &self.timer);
    }
}

/// Warns that a guest whose vCPUs don't get processor time can't be judged.
fn warn_of_starved(time: Duration, vcpus: &[(u32, Duration)]) {
    for (vcpu, processor) in vcpus {
        tracing::warn!(
            "vCPU {vcpu} has been within a few instructions for {:.1} s, but the host has given it {:.2} \
             s of processor time: whether it is stuck can't be told yet",
            time.as_secs_f64(),
            processor.as_secs_f64()
        );
    }
}

struct Stop<'a> {
    control: &'a Control,
    signals: &'a Signals,
}

impl MutEventSubscriber for Stop<'_> {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        while let Some(request) = self.signals.take_next() {
            match request {
                Request::End => self.control.end(End::Interrupted),
                Request::Continue => self.control.resume(),
            }
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        listen(self.control, ops, self.signals);
    }
}
