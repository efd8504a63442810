//! When to call a running guest hung, and when to call it quiet.
//!
//! Once a while has passed in which no vCPU left the guest by itself (so no byte came to the console
//! either), every vCPU is looked at now and then: where it is, whether it sleeps, and how much
//! processor time its thread has had. A vCPU is *stuck* when it stayed inside the same few instructions
//! for a whole window of its own processor time: real time says nothing of a vCPU that the host keeps
//! from running. One that is there and hasn't had that time is *starved*, and nothing is said of the
//! guest before it has had it. A guest is hung when every vCPU is stuck or sleeps for good, and quiet
//! when all of them sleep, take interrupts, and none is on its way.

use std::time::Duration;

use crate::registers::Activity;

/// The most different instruction pointers of a loop that counts as standing still.
pub const MAX_LOOP_RIPS: usize = 16;
/// How many samples a vCPU gives before anything is said of it.
pub const SAMPLES: u32 = 40;
/// The shortest window: below it, a guest that merely computes would look stuck.
pub const MIN_WINDOW: Duration = Duration::from_millis(100);
/// The part of the window that passes without a sign of life before samples are taken: a guest that
/// lives is hardly ever disturbed.
const UNDISTURBED: u32 = 10;
/// After how many windows without a verdict a starved vCPU is worth a word.
const STARVED_WINDOWS: u32 = 3;

/// A vCPU as it was seen once, out of the guest for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where it is.
    pub rip: u64,
    /// Whether it runs, sleeps, or was never started.
    pub activity: Activity,
    /// Whether an interrupt wakes it, and none is pending.
    pub at_rest: bool,
    /// The processor time that its thread has had, since it was started.
    pub processor: Duration,
}

/// What samples of a vCPU say together, since the latest sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// Each instruction pointer once, in ascending order; one more than [`MAX_LOOP_RIPS`] at most.
    rips: Vec<u64>,
    samples: u32,
    asleep: u32,
    /// Of those, how many slept without being at rest.
    restless: u32,
    unstarted: u32,
    /// The thread's processor time at the first sample, and at the last.
    processor: Option<(Duration, Duration)>,
}

/// What is known of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Too little.
    Unknown,
    /// It gets about.
    Moves,
    /// It waits for its SIPI.
    NotStarted,
    /// It sleeps, and any interrupt would wake it.
    AtRest,
    /// It sleeps, and never takes an interrupt or always leaves one pending. (One that is on its way when the vCPU
    /// is looked at has been taken by the next time.)
    Dead,
    /// It has had a window of processor time within its few instructions.
    Stuck,
    /// It is within a few instructions, and has had less than that.
    Starved {
        /// This much.
        processor: Duration,
    },
}

impl Track {
    /// Adds what was seen.
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

    /// The instruction pointers that were seen, each once, in ascending order.
    pub fn rips(&self) -> &[u64] {
        &self.rips
    }

    /// What is known of the vCPU.
    pub fn standing(&self, window: Duration) -> Standing {
        if self.rips.len() > MAX_LOOP_RIPS {
            return Standing::Moves;
        }
        let Some((first, last)) = self.processor.filter(|_| self.samples >= SAMPLES) else {
            return Standing::Unknown;
        };
        // A kernel that idles is woken by its timer now and then.
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

/// What the watchdog wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing: the guest lives, or the window is young.
    Wait,
    /// Samples taken so far are void.
    Restart,
    /// A sample of every vCPU.
    Sample,
    /// A sample, and a word to the user: for this long nothing could be said of the guest, because
    /// these vCPUs have had so little processor time. Said once between two signs of life.
    Starved {
        /// Since the latest sign of life.
        time: Duration,
        /// The vCPUs, and the processor time that their threads have had.
        vcpus: Vec<(u32, Duration)>,
    },
    /// The end: the guest is hung.
    Hung,
    /// The end: every vCPU that was started sleeps, and would wake for any interrupt.
    Quiet,
}

/// Judges whether a guest is hung. It is asked at [`Watchdog::interval`].
#[derive(Debug)]
pub struct Watchdog {
    window: Duration,
    /// The exits at the latest sign of life, and when that was.
    activity: u64,
    alive: Duration,
    said: bool,
}

impl Watchdog {
    /// A watchdog that gives a guest this long: each vCPU that runs in processor time, those that sleep
    /// in real time.
    pub fn new(window: Duration) -> Self {
        let window = window.max(MIN_WINDOW);
        Self { window, activity: 0, alive: Duration::ZERO, said: false }
    }

    /// How often to ask.
    pub fn interval(&self) -> Duration {
        // Most of the window is for samples, and a few may come late.
        self.window * (UNDISTURBED - 1) / UNDISTURBED / (SAMPLES + SAMPLES / 4)
    }

    /// How long it gives.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// The guest is kept from running: the window begins anew.
    pub fn postpone(&mut self, now: Duration) {
        (self.alive, self.said) = (now, false);
    }

    /// Looks at the guest: `activity` is the number of exits that it made by itself so far, `tracks` are
    /// what was seen of each vCPU since the last [`Watch::Restart`].
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
