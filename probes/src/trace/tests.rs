use std::collections::BTreeMap;

use serde_json::Value;
use vmm::controlled::Choice;
use vmm::exit::{Bytes, Entry, Exit};
use vmm::hook::{ApicEvent, Context};
use vmm::registers::Activity;

use super::*;
use crate::testing::{FakeCpu, context, hung_guest};

/// A file in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    /// The events on a vCPU's track, each as phase, name, start and length in microseconds.
    fn track(&self, vcpu: u64) -> Vec<(String, String, f64, f64)> {
        let trace: Value = serde_json::from_slice(&lock(&self.0)).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("a list");
        let of = events.iter().filter(|event| event["tid"] == vcpu + 1 && event["ph"] != "M");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        of.map(|e| (text(&e["ph"]), text(&e["name"]), number(&e["ts"]), number(&e["dur"])))
            .collect()
    }
}

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// vCPU 1 of 2, whose hook the test calls directly.
struct FakeScheduler {
    kept: Kept,
    trace: Trace,
    hook: Box<dyn Hook>,
    cpu: FakeCpu,
    memory: vmm::memory::Memory,
    controlled: bool,
    started: bool,
}

impl FakeScheduler {
    fn new(controlled: bool, limit: u64) -> Self {
        let kept = Kept::default();
        let trace = Trace::with_limit(kept.clone(), "a test", 2, limit).expect("memory");
        let (memory, cpu) = hung_guest();
        let hook = trace.attach(1, 2);
        Self { kept, trace, hook, cpu, memory, controlled, started: true }
    }

    fn at(&mut self, now: u64, call: impl FnOnce(&mut dyn Hook, &mut Context)) {
        let mut context = context(&mut self.cpu, &self.memory, us(now));
        context.point = self.controlled.then_some(now);
        context.started = self.started;
        call(&mut *self.hook, &mut context);
    }

    fn exit(&mut self, now: u64, exit: &Exit) {
        self.at(now, |hook, context| {
            hook.exit(context, exit);
        });
    }

    fn entry(&mut self, now: u64) {
        self.at(now, |hook, context| hook.entry(context, &Entry::Resume));
    }

    fn choose(&mut self, now: u64) {
        self.at(now, |hook, context| hook.choice(context, Choice::Step(1)));
    }

    fn hold(&mut self, now: u64, time: u64) {
        self.at(now, |hook, context| hook.held(context, us(time)));
    }

    fn end(mut self, now: u64) -> (Summary, Vec<(String, String, f64, f64)>) {
        self.at(now, |hook, context| hook.stop(context));
        let summary = self.trace.finish().expect("memory");
        (summary, self.kept.track(1))
    }
}

fn out() -> Exit {
    Exit::PortWrite { port: 0x3f8, size: 1, data: Bytes::from_slice(b"x") }
}

/// The name, start and length of each slice, in the order of time.
fn slices(track: &[(String, String, f64, f64)]) -> Vec<(&str, f64, f64)> {
    let mut slices: Vec<_> = track
        .iter()
        .filter(|(ph, ..)| ph == "X")
        .map(|(_, name, ts, dur)| (name.as_str(), *ts, *dur))
        .collect();
    slices.sort_by(|a, b| a.1.total_cmp(&b.1));
    slices
}

#[test]
fn in_real_time_a_vcpu_runs_between_exits_and_sleeps_where_that_is_seen() {
    let mut scheduler = FakeScheduler::new(false, MAX_TRACE_BYTES);
    scheduler.at(0, |hook, context| hook.start(context));
    scheduler.exit(10, &out());
    scheduler.entry(12);
    // A kick concerns only the host.
    scheduler.exit(20, &Exit::Kicked);
    scheduler.cpu.activity = Some(Activity::Halted);
    assert_eq!(scheduler.hook.next_tick(), Some(SAMPLE));
    scheduler.at(10_000, |hook, context| {
        hook.tick(context);
    });
    scheduler.entry(10_001);
    scheduler.cpu.activity = Some(Activity::Running);
    scheduler.exit(10_500, &out());
    scheduler.hold(10_501, 100);
    scheduler.hold(10_550, 10);
    scheduler.entry(10_603);
    // Held at a breakpoint: no entry reports the end.
    scheduler.hold(11_000, 50);
    scheduler.exit(12_000, &out());
    let (summary, track) = scheduler.end(12_010);
    assert_eq!(
        slices(&track),
        [
            ("running", 0.0, 10.0),
            ("port-write", 10.0, 2.0),
            ("running", 12.0, 9_988.0),
            ("halted", 10_000.0, 500.0),
            ("port-write", 10_500.0, 1.0),
            ("held", 10_501.0, 100.0),
            ("running", 10_603.0, 397.0),
            ("held", 11_000.0, 50.0),
            ("running", 11_050.0, 950.0),
            ("port-write", 12_000.0, 10.0),
        ]
    );
    assert_eq!(summary, Summary { events: 10, full: None });
}

#[test]
fn an_ap_waits_for_its_sipi() {
    let mut scheduler = FakeScheduler::new(false, MAX_TRACE_BYTES);
    scheduler.started = false;
    scheduler.at(0, |hook, context| hook.start(context));
    // INIT wakes the vCPU, which then continues to wait for its SIPI.
    scheduler.exit(5, &Exit::ApStart);
    scheduler.entry(6);
    scheduler.cpu.activity = Some(Activity::WaitForSipi);
    scheduler.at(10_000, |hook, context| {
        hook.tick(context);
    });
    scheduler.cpu.activity = Some(Activity::Halted);
    scheduler.at(20_000, |hook, context| {
        hook.tick(context);
    });
    let (_, track) = scheduler.end(20_010);
    let names: Vec<_> = slices(&track).into_iter().map(|(name, ..)| name).collect();
    let waits = "waits for SIPI";
    assert_eq!(names, [waits, "ap-start", "running", waits, "halted"]);
}

#[test]
fn under_control_a_point_takes_a_microsecond() {
    let mut scheduler = FakeScheduler::new(true, MAX_TRACE_BYTES);
    scheduler.started = false;
    scheduler.at(0, |hook, context| hook.start(context));
    assert_eq!(scheduler.hook.next_tick(), None);
    scheduler.at(5, |hook, context| {
        hook.apic(context, &ApicEvent::Startup { page: 1 });
    });
    for now in [7, 8, 10] {
        scheduler.choose(now);
        scheduler.exit(now, &out());
    }
    scheduler.exit(10, &Exit::Halt);
    scheduler.choose(20);
    scheduler.hold(20, 5);
    scheduler.choose(30);
    let (summary, track) = scheduler.end(30);
    assert_eq!(
        slices(&track),
        [
            ("waits for SIPI", 0.0, 5.0),
            ("running", 7.0, 2.0),
            ("running", 10.0, 1.0),
            ("halted", 11.0, 9.0),
            ("running", 20.0, 1.0),
            ("held", 21.0, 4.0),
            ("running", 30.0, 1.0),
        ]
    );
    let instants: Vec<_> = track
        .iter()
        .filter(|(ph, ..)| ph == "i")
        .map(|(_, name, ts, _)| format!("{name} {ts}"))
        .collect();
    assert_eq!(
        instants,
        [
            "step 7",
            "port-write 7",
            "step 8",
            "port-write 8",
            "step 10",
            "port-write 10",
            "halt 10",
            "step 20",
            "step 30",
        ]
    );
    assert_eq!(summary.events, 16);
}

#[test]
fn what_is_full_says_when_and_is_whole() {
    let mut scheduler = FakeScheduler::new(false, 200_000);
    scheduler.at(0, |hook, context| hook.start(context));
    for now in (10..100_000).step_by(10) {
        scheduler.exit(now, &out());
        scheduler.entry(now + 5);
    }
    let length = scheduler.kept.clone();
    let (summary, track) = scheduler.end(100_000);
    let full = summary.full.expect("it is full");
    assert!(full > us(1000) && full < us(100_000), "{full:?}");
    assert_eq!(summary.events, track.len() as u64);
    assert!(track.len() > 1000);
    let length = lock(&length.0).len();
    assert!((150_000..201_000).contains(&length), "{length}");
}

/// A disk that is full after a number of bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_at_the_end() {
    assert!(Trace::new(Disk(10), "a test", 2).is_err());
    let trace = Trace::new(Disk(1000), "a test", 2).expect("so much fits");
    let (memory, mut cpu) = hung_guest();
    let mut hook = trace.attach(1, 2);
    let mut context = context(&mut cpu, &memory, us(5));
    hook.start(&mut context);
    for _ in 0..1000 {
        hook.exit(&mut context, &out());
        hook.entry(&mut context, &Entry::Resume);
    }
    hook.stop(&mut context);
    assert_eq!(trace.finish().expect_err("it is full").kind(), io::ErrorKind::StorageFull);
}

#[test]
fn firings_are_there_with_their_place() {
    let kept = Kept::default();
    let trace = Trace::new(kept.clone(), "a test", 2).expect("memory");
    let script = crate::testing::load("(vprobe Out (/ 1 ARG9))\n(vprobe In / 0 / (logint 1))");
    let output = crate::Output::to_callback(|_| (), None).expect("a thread");
    let session = crate::Session::new(&script, output.sink()).traced(&trace);
    let (memory, mut cpu) = hung_guest();
    let mut hook = session.attach(1, 2);
    let mut context = context(&mut cpu, &memory, us(5));
    hook.exit(&mut context, &out());
    hook.exit(&mut context, &Exit::PortRead { port: 1, size: 1, count: 1 });
    trace.finish().expect("memory");
    assert_eq!(kept.track(1), [("i".into(), "Out".into(), 5.0, 0.0)]);
    let text = String::from_utf8(lock(&kept.0).clone()).expect("text");
    assert!(text.contains(r#""cat":"probe,cancelled","args":{"script":"test.vp:1:1"}"#), "{text}");
    let titles: BTreeMap<_, _> = [("a test", 1), ("vCPU 0", 1), ("vCPU 1", 1)].into();
    for (title, count) in titles {
        assert_eq!(text.matches(&format!("{{\"name\":\"{title}\"}}")).count(), count, "{text}");
    }
}
