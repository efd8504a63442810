//! Measures things in comparison with each other.
//!
//! The speed of a machine drifts, especially if the machine is itself a guest. So the things to
//! compare are measured in turns, a little at a time, and a ratio is the median of the ratios
//! within each round. Criterion gets the same rounds and computes its own statistics.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use crate::Failure;

/// One of the things that are compared.
pub(crate) struct Contestant<'a> {
    pub(crate) name: &'static str,
    /// The first contestant should take at most this many times as long as this one.
    pub(crate) goal: Option<f64>,
    /// Does one turn and returns how long it took.
    pub(crate) turn: Box<dyn FnMut() -> Result<Duration, Failure> + 'a>,
}

/// How to measure.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// How many times one turn does what is measured.
    pub(crate) times: u64,
    pub(crate) samples: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measurement: Duration,
    /// How many of the first contestants are reported by Criterion as well.
    pub(crate) judged: usize,
    /// The first contestant should do what is measured at least this number of times per second.
    pub(crate) rate: Option<f64>,
}

/// The measured times in seconds, for one repetition: a line for each contestant, a column for each
/// round.
pub(crate) struct Rounds {
    pub(crate) name: &'static str,
    pub(crate) names: Vec<&'static str>,
    pub(crate) goals: Vec<Option<f64>>,
    pub(crate) rate: Option<f64>,
    pub(crate) times: Vec<Vec<f64>>,
}

impl Rounds {
    /// Gives each contestant a turn, and returns how long the turn of `judged` took.
    fn run(
        &mut self,
        contestants: &mut [Contestant],
        plan: &Plan,
        judged: usize,
    ) -> Result<Duration, Failure> {
        let turns = contestants.iter_mut().map(|contestant| (contestant.turn)());
        let turns = turns.collect::<Result<Vec<_>, _>>()?;
        for (line, turn) in self.times.iter_mut().zip(&turns) {
            line.push(turn.as_secs_f64() / plan.times as f64);
        }
        Ok(turns[judged])
    }

    /// The median time of a contestant, if it was measured.
    pub(crate) fn time(&self, contestant: usize) -> Option<f64> {
        median(self.times.get(contestant)?.clone())
    }

    /// The median of the ratios of the first contestant's time to another one's.
    pub(crate) fn ratio(&self, floor: usize) -> Option<f64> {
        let (ours, floor) = (self.times.first()?, self.times.get(floor)?);
        median(ours.iter().zip(floor).map(|(ours, floor)| ours / floor).collect())
    }
}

/// Measures all contestants, in rounds.
pub(crate) fn hold(criterion: &mut Criterion, plan: &Plan, mut them: Vec<Contestant>) -> Rounds {
    let mut rounds = Rounds {
        name: plan.name,
        names: them.iter().map(|contestant| contestant.name).collect(),
        goals: them.iter().map(|contestant| contestant.goal).collect(),
        rate: plan.rate,
        times: vec![Vec::new(); them.len()],
    };
    let mut group = criterion.benchmark_group(plan.name);
    configure(&mut group, plan);
    let mut failure = None;
    for judged in 0..plan.judged.min(them.len()) {
        group.bench_function(rounds.names[judged], |bencher| {
            bencher.iter_custom(|turns| {
                let mut total = Duration::ZERO;
                for _ in 0..turns {
                    // Criterion has no way to report a failure, so after one the rest is not
                    // measured.
                    total += match failure {
                        None => rounds.run(&mut them, plan, judged).unwrap_or_else(|error| {
                            failure = Some(error);
                            Duration::from_nanos(1)
                        }),
                        Some(_) => Duration::from_nanos(1),
                    }
                }
                total
            });
        });
    }
    group.finish();
    if let Some(failure) = failure {
        eprintln!("{}: FAILED, and its figures above mean nothing: {failure}", plan.name);
        rounds.times.iter_mut().for_each(Vec::clear);
    }
    rounds
}

fn configure(group: &mut BenchmarkGroup<WallTime>, plan: &Plan) {
    group
        .sample_size(plan.samples)
        .throughput(Throughput::Elements(plan.times))
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(plan.warm_up)
        .measurement_time(plan.measurement);
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The processor time of the calling thread, or of the process. For code that never waits it equals
/// the elapsed time on an idle machine, and is hardly longer on a busy one.
pub(crate) struct Busy {
    clock: ClockId,
    start: Duration,
}

impl Busy {
    pub(crate) fn start() -> Result<Self, Errno> {
        Self::on(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    pub(crate) fn process() -> Result<Self, Errno> {
        Self::on(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    fn on(clock: ClockId) -> Result<Self, Errno> {
        Ok(Self { clock, start: clock_gettime(clock)?.into() })
    }

    pub(crate) fn elapsed(&self) -> Result<Duration, Errno> {
        Ok(Duration::from(clock_gettime(self.clock)?).saturating_sub(self.start))
    }
}
