//! The claim: `--trace` writes what vCPUs did in a form that Perfetto reads: a track for each vCPU,
//! on which states don't overlap, with every exit, firing and scheduling point. The trace of a
//! replay is the same each time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Finished, Invocation, jitterbug};
use crate::image;
use crate::replay_scripts::find;
use crate::scratch::Folder;

tests! {
    Kvm: a_replays_trace_has_every_point, a_runs_trace_has_every_exit_and_firing,
        holds_and_sleep_are_seen, the_first_failure_is_kept, what_can_not_be_written_is_named,
        an_earlier_trace_stays_until_the_next_is_whole;
    Nothing: a_bad_place_is_refused_at_once;
}

/// A trace that has passed the checks for all traces.
struct Trace {
    title: String,
    /// The tracks by their names.
    tracks: BTreeMap<String, Vec<Value>>,
}

impl Trace {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("the file");
        let trace: Value = serde_json::from_str(&text).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("a list");
        let named = |name: &str| {
            let events = events.iter().filter(|event| event["ph"] == "M");
            let named: Vec<_> = events.filter(|event| event["name"] == name).collect();
            let names = named.iter().map(|event| (&event["tid"], &event["args"]["name"]));
            names.map(|(tid, name)| (tid.as_u64(), name.as_str().unwrap_or("").into())).collect()
        };
        let titles: Vec<(_, String)> = named("process_name");
        let mut tracks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (tid, name) in named("thread_name") {
            let of = events.iter().filter(|e| e["tid"].as_u64() == tid && e["ph"] != "M");
            let mut of: Vec<Value> = of.cloned().collect();
            of.sort_by(|a, b| time(a, "ts").total_cmp(&time(b, "ts")));
            check(&of);
            tracks.insert(name, of);
        }
        let on_tracks: usize = tracks.values().map(Vec::len).sum();
        let all = events.iter().filter(|event| event["ph"] != "M").count();
        assert_eq!(on_tracks, all, "events on no track");
        Self { title: titles[0].1.clone(), tracks }
    }

    fn events(&self) -> impl Iterator<Item = &Value> {
        self.tracks.values().flatten()
    }

    /// How many times this happened, and how long it took in total, in microseconds.
    fn total(&self, key: &str, value: &str) -> (usize, f64) {
        let of: Vec<_> = self.events().filter(|event| event[key] == value).collect();
        (of.len(), of.iter().map(|event| time(event, "dur")).sum())
    }
}

fn time(event: &Value, key: &str) -> f64 {
    event[key].as_f64().unwrap_or_default()
}

/// Checks that states follow each other, and that no time is negative.
fn check(track: &[Value]) {
    const ROUNDING: f64 = 0.002;
    let mut end = 0.0;
    for event in track {
        let (ph, start) = (&event["ph"], event["ts"].as_f64().expect("a time"));
        assert!(start >= 0.0 && event["name"].is_string() && event["cat"].is_string(), "{event}");
        if ph == "X" {
            let length = event["dur"].as_f64().expect("a length");
            assert!(length >= 0.0 && start >= end - ROUNDING, "{event} begins before {end}");
            end = start + length;
        } else {
            assert_eq!((ph, &event["s"]), (&"i".into(), &"t".into()), "{event}");
        }
    }
}

fn tracing(invocation: Invocation, file: &Path) -> Invocation {
    invocation.arg("--trace").arg(file)
}

/// How many times a probe has fired, according to the script's output at the end.
fn firings(run: &Finished, name: &str) -> usize {
    let before = format!("aggr: {name} ");
    assert!(run.stderr.contains(&before), "{run}");
    let line = run.lines_with("  n[] == ").next().unwrap_or_else(|| panic!("{run}"));
    let count = line.split(' ').skip_while(|word| *word != "count").nth(1);
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{run}"))
}

const COUNT: &str = "(defaggr n 0 0) (vprobe HV_Exit (aggr n () () (count)))";

fn a_replays_trace_has_every_point() {
    let folder = Folder::new();
    let finding = find(&folder, "tsc-sync --cpus 4");
    let file = folder.join("replay.trace");
    let replay = || tracing(jitterbug("replay").arg(&finding), &file).probe(COUNT).ends_with(0);
    let replayed = replay();
    let trace = Trace::read(&file);
    assert!(trace.title.starts_with("tsc-sync: "), "{}", trace.title);
    assert_eq!(trace.tracks.len(), 4);

    let points: Vec<u64> = {
        let points = trace.events().filter(|event| event["cat"] == "point");
        let mut numbers: Vec<_> =
            points.map(|event| event["args"]["point"].as_u64().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    };
    let said = format!(" {} points, ", points.len());
    assert!(replayed.stderr.contains(&said), "{said}: {replayed}");
    assert!((1..).zip(&points).all(|(number, point)| number == *point), "{points:?}");
    // A scheduling point takes a microsecond, in which one vCPU runs.
    let (_, running) = trace.total("name", "running");
    assert!((running - points.len() as f64).abs() < 0.5, "{running} us, {} points", points.len());
    assert!(trace.total("name", "waits for SIPI").1 > 10.0);
    assert_eq!(trace.total("name", "HV_Exit").0, firings(&replayed, "n"));
    assert_eq!(trace.total("cat", "exit").0, trace.total("cat", "probe").0);
    assert_eq!(trace.total("name", "hang").0, 4);

    let first = fs::read(&file).expect("the file");
    replay();
    assert!(fs::read(&file).expect("the file") == first, "another replay, another trace");
}

fn a_runs_trace_has_every_exit_and_firing() {
    let folder = Folder::new();
    let file = folder.join("run.trace");
    let run = tracing(jitterbug("run hello --cpus 3"), &file).probe(COUNT).ends_with(0);
    let trace = Trace::read(&file);
    assert_eq!(trace.title, "hello, seed 1");
    let tracks: Vec<_> = trace.tracks.keys().map(String::as_str).collect();
    assert_eq!(tracks, ["vCPU 0", "vCPU 1", "vCPU 2"]);
    let (exits, _) = trace.total("cat", "exit");
    assert_eq!(trace.total("name", "HV_Exit").0, firings(&run, "n"), "{run}");
    assert_eq!(exits, firings(&run, "n"), "{run}");
    assert!(run.stderr.contains(&format!("{exits} exits)")), "{exits}: {run}");
    let to_the_console = trace.events().filter(|event| event["args"]["port"] == "0x3f8").count();
    assert!(to_the_console >= run.stdout.len(), "{run}");
    // A vCPU that has started and fallen asleep between two looks at it was never seen running.
    let has_started = |event: &Value| event["name"] == "running" || event["name"] == "halted";
    for (name, track) in &trace.tracks {
        assert!(track.iter().any(has_started), "{name}: {track:?}");
    }
}

fn holds_and_sleep_are_seen() {
    let folder = Folder::new();
    let file = folder.join("held.trace");
    let jitter = "run hello --jitter hold:at=io,p=1,for=1ms --json";
    let report = tracing(jitterbug(jitter), &file).ends_with(0).json();
    let injected = &report["boots"][0]["injections"];
    let (held, length) = Trace::read(&file).total("name", "held");
    assert_eq!(injected["holds"], held);
    let asked = injected["microseconds"].as_f64().expect("a time");
    assert!((asked - length).abs() < 1.0, "{length} of {asked} us");

    let sleeps = jitterbug("run --watchdog off --timeout 1s --json").image(&image::halt());
    let report = tracing(sleeps, &file).ends_with(0).json();
    let (_, halted) = Trace::read(&file).total("name", "halted");
    let all = 1e6 * report["boots"][0]["seconds"].as_f64().expect("a time");
    assert!(halted > all / 10.0 && halted <= all, "{halted} of {all} us");
}

fn the_first_failure_is_kept() {
    let folder = Folder::new();
    let file = folder.join("many.trace");
    let repeat = || jitterbug("run --seed 5 --repeat 3");
    tracing(repeat().image(&image::exit(0)), &file).ends_with(0);
    assert!(Trace::read(&file).title.ends_with(", seed 7"));
    tracing(repeat().image(&image::exit(3)), &file).ends_with(1);
    assert!(Trace::read(&file).title.ends_with(", seed 5"));
}

fn what_can_not_be_written_is_named() {
    let full = "--trace /dev/full: can't be written: No space left on device";
    jitterbug("run hello --trace /dev/full").ends_with(2).says(&[full]);
    jitterbug("run --trace /dev/full").image(&image::exit(3)).ends_with(1).says(&[full]);
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    jitterbug("replay --trace /dev/full").arg(finding).ends_with(2).says(&[full, "reproduced"]);
}

fn a_bad_place_is_refused_at_once() {
    for command in ["run hello", "run hello --repeat 3"] {
        jitterbug(&format!("{command} --trace /nowhere/x"))
            .ends_with(2)
            .shows("")
            .says(&["--trace /nowhere/x: can't be written: No such file or directory"]);
    }
}

/// A trace is written during the run: if the process is killed meanwhile, the previous file
/// remains.
fn an_earlier_trace_stays_until_the_next_is_whole() {
    let folder = Folder::new();
    let path = folder.join("trace.json");
    fs::write(&path, "what was there").unwrap();
    let traced = || {
        let running = jitterbug("run spin --trace").arg(&path);
        let running = running.probe(r#"(vprobe VMM10Hz (printf "tick\n"))"#).start();
        running.reports("tick\n");
        running
    };
    let running = traced();
    running.signal(Signal::SIGKILL);
    running.ends_with(-1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "what was there");
    let running = traced();
    running.signal(Signal::SIGINT);
    running.ends_with(130);
    assert!(Trace::read(&path).events().count() > 0);
}
