//! Decides when a running guest is hung, and when it is quiet.
//!
//! After a while in which no vCPU left the guest by itself (and so no byte reached the console),
//! every vCPU is sampled at intervals: its RIP, whether it sleeps, and the processor time of its
//! thread. A vCPU is *stuck* when it stayed within the same few instructions for a whole window of
//! its own processor time; real time means nothing for a vCPU that the host keeps from running. A
//! vCPU within a few instructions that has not had this time is *starved*, and there is no verdict
//! on the guest before it has had the time. A guest is hung when every vCPU is stuck or sleeps for
//! good. It is quiet when all vCPUs sleep with interrupts enabled and no interrupt is pending.

use std::time::Duration;

use crate::registers::Activity;

/// The maximum number of different instruction pointers of a vCPU that may be stuck.
pub const MAX_LOOP_RIPS: usize = 16;
/// The number of samples of a vCPU that a verdict needs.
pub const SAMPLES: u32 = 40;
/// The shortest window: with a shorter one, a guest that merely computes would look stuck.
pub const MIN_WINDOW: Duration = Duration::from_millis(100);
/// The fraction (one part in this many) of the window without activity before samples are taken: an
/// active guest is hardly ever disturbed.
const UNDISTURBED: u32 = 10;
/// The number of windows without a verdict after which starved vCPUs are reported.
const STARVED_WINDOWS: u32 = 3;

/// A sample: the state of a vCPU that was taken out of the guest for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The vCPU's RIP.
    pub rip: u64,
    /// Whether the vCPU runs, sleeps, or was never started.
    pub activity: Activity,
    /// Whether an interrupt would wake the vCPU, and none is pending.
    pub at_rest: bool,
    /// The processor time of its thread since it was started.
    pub processor: Duration,
}

/// The combined samples of a vCPU since the latest activity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// The different instruction pointers, in ascending order; at most one more than
    /// [`MAX_LOOP_RIPS`].
    rips: Vec<u64>,
    samples: u32,
    asleep: u32,
    /// The number of samples in which the vCPU slept but was not at rest.
    restless: u32,
    unstarted: u32,
    /// The thread's processor time at the first sample, and at the last.
    processor: Option<(Duration, Duration)>,
}

/// The judgement of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There are too few samples.
    Unknown,
    /// It makes progress.
    Moves,
    /// It waits for its SIPI.
    NotStarted,
    /// It sleeps, and any interrupt would wake it.
    AtRest,
    /// It sleeps, and never takes an interrupt or always leaves one pending. (An interrupt that
    /// happens to be pending at one sample has been taken by the next.)
    Dead,
    /// It has had a window of processor time within a few instructions.
    Stuck,
    /// It is within a few instructions, and has had less processor time.
    Starved {
        /// The processor time that it has had.
        processor: Duration,
    },
}

impl Track {
    /// Adds a sample.
    pub fn add(&mut self, sample: &Sample) {
        self.samples = self.samples.saturating_add(1);
        let first = self.processor.map_or(sample.processor, |(first, _)| first);
        self.processor = Some((first, sample.processor));
        match sample.activity {
            Activity::Running => {}
            Activity::Halted => {
                self.asleep = self.asleep.saturating_add(1);
                self.restless = self.restless.saturating_add(u32::from(!sample.at_rest));
            }
            Activity::WaitForSipi => self.unstarted = self.unstarted.saturating_add(1),
        }
        if self.rips.len() <= MAX_LOOP_RIPS
            && let Err(at) = self.rips.binary_search(&sample.rip)
        {
            self.rips.insert(at, sample.rip);
        }
    }

    /// The different instruction pointers of the samples, in ascending order.
    pub fn rips(&self) -> &[u64] {
        &self.rips
    }

    /// The judgement of the vCPU.
    pub fn standing(&self, window: Duration) -> Standing {
        if self.rips.len() > MAX_LOOP_RIPS {
            return Standing::Moves;
        }
        let Some((first, last)) = self.processor.filter(|_| self.samples >= SAMPLES) else {
            return Standing::Unknown;
        };
        // An idle kernel is woken by its timer now and then.
        let sleeps = u64::from(self.asleep) * 4 >= u64::from(self.samples) * 3;
        let processor = last.saturating_sub(first);
        if self.unstarted == self.samples {
            Standing::NotStarted
        } else if sleeps && self.restless < self.asleep {
            Standing::AtRest
        } else if sleeps {
            Standing::Dead
        } else if processor >= window {
            Standing::Stuck
        } else if self.asleep > 0 {
            // It has not used its time because it sleeps.
            Standing::Unknown
        } else {
            Standing::Starved { processor }
        }
    }
}

/// What the watchdog asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing: the guest is active, or the window has just begun.
    Wait,
    /// Discard the samples taken so far.
    Restart,
    /// Take a sample of every vCPU.
    Sample,
    /// Take a sample of every vCPU, and tell the user that there is no verdict for this long
    /// because these vCPUs have had so little processor time. Reported once per period without
    /// activity.
    Starved {
        /// The time since the latest activity.
        time: Duration,
        /// The starved vCPUs, and the processor time that their threads have had.
        vcpus: Vec<(u32, Duration)>,
    },
    /// End the run: the guest is hung.
    Hung,
    /// End the run: every started vCPU sleeps, and any interrupt would wake it.
    Quiet,
}

/// Judges whether a guest is hung. [`Watchdog::look`] is to be called at [`Watchdog::interval`].
#[derive(Debug)]
pub struct Watchdog {
    window: Duration,
    /// The number of exits at the latest activity, and its time.
    activity: u64,
    alive: Duration,
    said: bool,
}

impl Watchdog {
    /// A watchdog with this window: in processor time for vCPUs that run, in real time for vCPUs
    /// that sleep.
    pub fn new(window: Duration) -> Self {
        let window = window.max(MIN_WINDOW);
        Self { window, activity: 0, alive: Duration::ZERO, said: false }
    }

    /// The interval at which [`Watchdog::look`] is to be called.
    pub fn interval(&self) -> Duration {
        // Most of the window is used for samples, and some of them may be late.
        self.window * (UNDISTURBED - 1) / UNDISTURBED / (SAMPLES + SAMPLES / 4)
    }

    /// The window.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Called when the guest is kept from running: the window begins anew.
    pub fn postpone(&mut self, now: Duration) {
        (self.alive, self.said) = (now, false);
    }

    /// Judges the guest. `activity` is the number of exits that it has caused so far; `tracks` are
    /// the samples of each vCPU since the last [`Watch::Restart`].
    pub fn look(&mut self, now: Duration, activity: u64, tracks: &[Track]) -> Watch {
        let standings: Vec<_> = tracks.iter().map(|track| track.standing(self.window)).collect();
        if activity != self.activity || standings.contains(&Standing::Moves) {
            self.activity = activity;
            self.postpone(now);
            return Watch::Restart;
        }
        let time = now.saturating_sub(self.alive);
        if time < self.window / UNDISTURBED {
            return Watch::Wait;
        }
        if time < self.window || standings.contains(&Standing::Unknown) {
            return Watch::Sample;
        }
        let vcpus: Vec<_> = (0..).zip(&standings).filter_map(starved).collect();
        if vcpus.is_empty() {
            let rests = |standing| matches!(standing, Standing::AtRest | Standing::NotStarted);
            return if standings.into_iter().all(rests) { Watch::Quiet } else { Watch::Hung };
        }
        if time < self.window * STARVED_WINDOWS || self.said {
            return Watch::Sample;
        }
        self.said = true;
        Watch::Starved { time, vcpus }
    }
}

fn starved((vcpu, standing): (u32, &Standing)) -> Option<(u32, Duration)> {
    match standing {
        Standing::Starved { processor } => Some((vcpu, *processor)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
