//! The values under one key.

/// A figure that an aggregate keeps under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The number of values.
    Count,
    /// The sum of the values.
    Sum,
    /// The average of the values, rounded down.
    Average,
    /// The smallest value.
    Minimum,
    /// The largest value.
    Maximum,
    /// The latest value.
    Latest,
}

impl Reading {
    /// The name of the figure in the IR and in instructions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Latest => "latest",
        }
    }
}

/// What an aggregate keeps of the values that are added to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The kind of `VProbes`: average, count, minimum, maximum and latest value.
    #[default]
    Classic,
    /// The number of values.
    Count,
    /// The sum of the values.
    Sum,
    /// The average and the number of the values.
    Average,
    /// The smallest value.
    Minimum,
    /// The largest value.
    Maximum,
    /// The average, the standard deviation and the number of the values.
    Deviation,
    /// The number of values in each power of two.
    Histogram,
    /// The number of values in each interval of equal length.
    Linear(Linear),
}

impl Kind {
    /// The name of what the aggregate keeps, in the IR.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "average, count, minimum, maximum, latest",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Deviation => "average, standard deviation, count",
            Self::Histogram => "histogram",
            Self::Linear(_) => "linear histogram",
        }
    }
}

/// The intervals of a linear histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The start of the first interval.
    pub low: u64,
    /// The end of the last interval. Values from here on are counted as above it.
    pub high: u64,
    /// The length of each interval.
    pub step: u64,
}

impl Linear {
    /// The most intervals.
    pub const MAX_INTERVALS: u64 = 1000;

    /// The number of intervals, without those for values below and above.
    pub fn intervals(self) -> u64 {
        self.high.saturating_sub(self.low).div_ceil(self.step.max(1))
    }

    fn bucket(self, value: u64) -> usize {
        match value.checked_sub(self.low) {
            None => 0,
            Some(_) if value >= self.high => self.intervals() as usize + 1,
            Some(above) => (above / self.step.max(1)) as usize + 1,
        }
    }
}

/// The number of buckets for powers of two: one for 0, then one for each bit.
const POWERS: usize = 65;

/// What an aggregate keeps under one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The number of values.
    pub count: u64,
    /// The sum of the values.
    pub sum: u128,
    /// The smallest value.
    pub minimum: u64,
    /// The largest value.
    pub maximum: u64,
    /// The latest value.
    pub latest: u64,
    /// The time of the latest value, in nanoseconds of machine time.
    stamp: u64,
    extra: Extra,
}

#[derive(Clone, Debug, PartialEq)]
enum Extra {
    None,
    /// Welford's running mean, and the sum of squared distances from it.
    Squares {
        mean: f64,
        distance: f64,
    },
    Powers(Box<[u64]>),
    Linear(Linear, Box<[u64]>),
}

impl Cell {
    /// A cell without values.
    pub fn new(kind: Kind) -> Self {
        let zeros = |count: usize| vec![0; count].into_boxed_slice();
        let extra = match kind {
            Kind::Deviation => Extra::Squares { mean: 0.0, distance: 0.0 },
            Kind::Histogram => Extra::Powers(zeros(POWERS)),
            Kind::Linear(linear) => Extra::Linear(linear, zeros(linear.intervals() as usize + 2)),
            _ => Extra::None,
        };
        Self { count: 0, sum: 0, minimum: u64::MAX, maximum: 0, latest: 0, stamp: 0, extra }
    }

    /// Adds a value, at a time in nanoseconds of machine time.
    pub fn add(&mut self, value: u64, stamp: u64) {
        self.count += 1;
        self.sum += u128::from(value);
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
        (self.latest, self.stamp) = (value, stamp);
        match &mut self.extra {
            Extra::None => {}
            // Knuth, The Art of Computer Programming, volume 2, 4.2.2 (15) and (16).
            Extra::Squares { mean, distance } => {
                let value = value as f64;
                let delta = value - *mean;
                *mean += delta / self.count as f64;
                *distance += delta * (value - *mean);
            }
            Extra::Powers(buckets) => {
                bump(buckets, (u64::BITS - value.leading_zeros()) as usize, 1);
            }
            Extra::Linear(linear, buckets) => bump(buckets, linear.bucket(value), 1),
        }
    }

    /// Adds the values of another vCPU's cell.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.extra, &other.extra) {
            // Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing
            // Sample Variances, 1979.
            (
                Extra::Squares { mean, distance },
                Extra::Squares { mean: other_mean, distance: other_distance },
            ) => {
                let (a, b) = (self.count as f64, other.count as f64);
                let delta = other_mean - *mean;
                *mean += delta * b / (a + b).max(1.0);
                *distance += other_distance + delta * delta * a * b / (a + b).max(1.0);
            }
            (Extra::Powers(mine), Extra::Powers(theirs))
            | (Extra::Linear(_, mine), Extra::Linear(_, theirs)) => {
                for (bucket, by) in theirs.iter().enumerate() {
                    bump(mine, bucket, *by);
                }
            }
            _ => {}
        }
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        if other.stamp > self.stamp {
            (self.latest, self.stamp) = (other.latest, other.stamp);
        }
    }

    /// The sum divided by the count, rounded down.
    pub fn average(&self) -> u64 {
        (self.sum / u128::from(self.count.max(1))) as u64
    }

    /// The standard deviation of all values, rounded to an integer; 0 if the kind doesn't keep it.
    pub fn deviation(&self) -> u64 {
        match self.extra {
            Extra::Squares { distance, .. } => {
                (distance / self.count.max(1) as f64).sqrt().round() as u64
            }
            _ => 0,
        }
    }

    /// The figure that a script reads.
    pub fn reading(&self, reading: Reading) -> u64 {
        match reading {
            Reading::Count => self.count,
            Reading::Sum => self.sum as u64,
            Reading::Average => self.average(),
            Reading::Minimum => self.minimum,
            Reading::Maximum => self.maximum,
            Reading::Latest => self.latest,
        }
    }

    /// The buckets of a histogram, from the first used bucket to the last: the name of each, and
    /// its number of values.
    pub fn buckets(&self) -> Vec<(String, u64)> {
        let (buckets, name): (_, Box<dyn Fn(usize) -> String>) = match &self.extra {
            Extra::Powers(buckets) => (buckets, Box::new(power)),
            Extra::Linear(linear, buckets) => {
                let linear = *linear;
                (buckets, Box::new(move |bucket| interval(linear, bucket as u64)))
            }
            Extra::None | Extra::Squares { .. } => return Vec::new(),
        };
        let first = buckets.iter().position(|&count| count > 0).unwrap_or(0);
        let last = buckets.iter().rposition(|&count| count > 0).unwrap_or(0);
        let used = buckets.iter().enumerate().take(last + 1).skip(first);
        used.map(|(bucket, &count)| (name(bucket), count)).collect()
    }
}

fn bump(buckets: &mut [u64], bucket: usize, by: u64) {
    if let Some(count) = buckets.get_mut(bucket) {
        *count += by;
    }
}

fn power(bucket: usize) -> String {
    match bucket {
        0 => "[0]".into(),
        1 => "[1]".into(),
        64 => format!("[{}, ...)", 1_u64 << 63),
        bucket => format!("[{}, {})", 1_u64 << (bucket - 1), 1_u64 << bucket),
    }
}

fn interval(linear: Linear, bucket: u64) -> String {
    if bucket == 0 {
        return format!("(..., {})", linear.low);
    }
    if bucket > linear.intervals() {
        return format!("[{}, ...)", linear.high);
    }
    let start = linear.low.saturating_add((bucket - 1).saturating_mul(linear.step));
    format!("[{start}, {})", start.saturating_add(linear.step).min(linear.high))
}
