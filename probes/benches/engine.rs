//! The cost of a firing for a number of operations: `cargo bench -p jitterbug-probes`.
//!
//! The operations are those of `jitterbug probes --bench` (`probes::bench`), here with criterion's
//! statistics. The loading of long scripts is measured, too.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use probes::bench::{Bench, OPERATIONS, thread_time};
use probes::{Options, Output, Script, Source};

/// The processor time that the thread has used.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        thread_time().expect("a clock")
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn firings(criterion: &mut Criterion<ThreadTime>) {
    let output = Output::to_callback(|_| {}, None).expect("a thread");
    let mut group = criterion.benchmark_group("firing");
    for operation in OPERATIONS {
        let mut bench = Bench::new(*operation, &output).expect("an operation");
        // A filter on the command line leaves operations out.
        let mut chosen = false;
        group.bench_function(operation.id, |bencher| {
            chosen = true;
            bencher.iter(|| bench.fire());
        });
        if chosen {
            bench.check().expect("firings");
        }
    }
    group.finish();
}

/// A script of 1,000 lines in VP.
fn long_vp() -> String {
    let mut text = String::from("(definteger n) (defstring s) (defaggr a 1 1)\n");
    for _ in 0..100 {
        text.push_str("(vprobe VMM1Hz\n");
        text.push_str(&"  (setint n (+ n 7 (& RIP 0xff)))\n".repeat(7));
        text.push_str("  (gueststack s) (aggr a (RIP) (s) 1)\n");
        text.push_str("  (printf \"CPU %d: %s\\n\" VCPUID s))\n");
    }
    text
}

/// The same script in Emmett.
fn long_emmett() -> String {
    let mut text = String::from("int n; string s; aggr a[1][1];\n");
    for _ in 0..100 {
        text.push_str("VMM1Hz {\n");
        text.push_str(&"  n += 7 + (RIP & 0xff);\n".repeat(7));
        text.push_str("  gueststack(s); a[RIP, s]++;\n");
        text.push_str("  printf(\"CPU %d: %s\\n\", VCPUID, s); }\n");
    }
    text
}

fn loading(criterion: &mut Criterion<ThreadTime>) {
    for (name, file, text) in [
        ("load_1000_lines_of_vp", "long.vp", long_vp()),
        ("load_1000_lines_of_emmett", "long.emt", long_emmett()),
    ] {
        assert_eq!(text.lines().count(), 1001);
        let source = [Source::new(file, text)];
        criterion.bench_function(name, |bencher| {
            bencher
                .iter(|| Script::load(black_box(&source), &Options::default()).expect("a script"));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime);
    targets = firings, loading
}
criterion_main!(benches);
