use std::sync::{Arc, Mutex};

use super::*;
use crate::controlled::testing::{machine, random};
use crate::controlled::{Chooser, Point};
use crate::end::{End, HangEvidence};
use crate::exit::Exit;
use crate::hook::{Hook, HookActions, Verdict};

/// Records its calls.
#[derive(Clone, Default)]
struct Recorder {
    log: Arc<Mutex<Vec<String>>>,
    /// How long vCPU 1 is held at each port write.
    hold: Duration,
    period: Option<Duration>,
}

struct Recording {
    recorder: Recorder,
    next: Option<Duration>,
}

impl Recording {
    fn put(&self, context: &Context, what: &str) {
        let Context { vcpu, now, point, .. } = context;
        let line = format!("{vcpu} {what} at {} ns, point {}", now.as_nanos(), point.unwrap());
        self.recorder.log.lock().unwrap().push(line);
    }
}

impl Attach for Recorder {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(Recording { recorder: self.clone(), next: self.period })
    }
}

impl Hook for Recording {
    fn points(&self) -> Points {
        Points::all()
    }

    fn start(&mut self, context: &mut Context) {
        self.put(context, "starts");
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        self.put(context, &format!("{exit:x?}"));
        match exit {
            Exit::MmioRead { .. } if context.vcpu == 1 => Verdict::Hold(self.recorder.hold),
            _ => Verdict::Continue,
        }
    }

    fn entry(&mut self, context: &mut Context, entry: &Entry) {
        self.put(context, &format!("{entry:x?}"));
    }

    fn choice(&mut self, context: &mut Context, choice: Choice) {
        self.put(context, &format!("chosen as {choice}"));
    }

    fn hang(&mut self, context: &mut Context, proven: bool) {
        self.put(context, &format!("hangs, proven {proven}"));
    }

    fn held(&mut self, context: &mut Context, time: Duration) {
        self.put(context, &format!("held for {} ns", time.as_nanos()));
    }

    fn stop(&mut self, context: &mut Context) {
        self.put(context, "stops");
    }

    fn next_tick(&self) -> Option<Duration> {
        self.next
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        self.put(context, "ticks");
        self.next = self.next.zip(self.recorder.period).map(|(next, period)| next + period);
        Verdict::Continue
    }
}

/// Runs a guest with a recorder; returns the records, the ending, and the number of points.
fn run(guest: &str, recorder: &Recorder, seed: u64) -> (Vec<String>, End, u64) {
    let mut machine = machine(guest);
    machine.attach(&[recorder]).unwrap();
    let ending = machine.run(&mut random(seed), 100_000).unwrap();
    machine.detach();
    let log = std::mem::take(&mut *recorder.log.lock().unwrap());
    (log, ending, machine.points())
}

fn count(log: &[String], what: &str) -> usize {
    log.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn hooks_see_every_choice_every_access_and_its_answer_in_order() {
    let (log, ending, points) = run("lost-update-fixed", &Recorder::default(), 3);
    assert_eq!(ending, End::Guest { code: 0 });
    assert_eq!(count(&log, "chosen as"), points as usize);
    assert_eq!((count(&log, "starts"), count(&log, "stops")), (2, 2));
    // Each read got an answer; a locked increment is a read, its answer, and a write.
    let reads = count(&log, "MmioRead") + count(&log, "PortRead");
    assert_eq!(count(&log, "Data("), reads);
    let locked = log.windows(3).filter(|lines| {
        lines[0].contains("MmioRead")
            && lines[1].contains("Data(")
            && lines[2].contains("MmioWrite")
            && lines.iter().all(|line| line.split(" at ").nth(1) == lines[0].split(" at ").nth(1))
    });
    assert!(locked.count() > 2, "{log:#?}");
}

#[test]
fn the_same_choices_call_hooks_the_same_way() {
    let recorder = Recorder { period: Some(Duration::from_micros(7)), ..Recorder::default() };
    let first = run("tlb-shootdown", &recorder, 5);
    assert_eq!(run("tlb-shootdown", &recorder, 5), first);
    assert_ne!(run("tlb-shootdown", &recorder, 6), first);
}

#[test]
fn ticks_come_at_their_own_virtual_times() {
    let recorder = Recorder { period: Some(Duration::from_micros(7)), ..Recorder::default() };
    let (log, _, points) = run("lost-update", &recorder, 1);
    let of_one: Vec<_> = log.iter().filter(|line| line.starts_with("1 ticks")).collect();
    // A point takes a microsecond.
    assert_eq!(of_one.len() as u64, points / 7);
    for (number, line) in (1..).zip(of_one) {
        assert!(line.starts_with(&format!("1 ticks at {} ns", 7000 * number)), "{line}");
    }
}

/// Reads the TSC at every choice.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<Vec<(Duration, u64)>>>);

impl Attach for Clock {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

impl Hook for Clock {
    fn points(&self) -> Points {
        Points::CHOICE
    }

    fn choice(&mut self, context: &mut Context, _: Choice) {
        let tsc = context.cpu.msr(0x10).unwrap();
        self.0.lock().unwrap().push((context.now, tsc));
    }
}

#[test]
fn hooks_see_virtual_time_in_the_tsc() {
    let read = || {
        let (mut machine, clock) = (machine("lost-update-fixed"), Clock::default());
        machine.attach(&[&clock]).unwrap();
        machine.run(&mut random(1), 100_000).unwrap();
        let seen = clock.0.lock().unwrap().clone();
        (seen, machine.points(), machine.tsc.khz)
    };
    let (seen, points, khz) = read();
    assert_eq!(seen.len() as u64, points);
    for (now, tsc) in &seen {
        assert_eq!(*tsc, now.as_micros() as u64 * u64::from(khz) / 1000);
    }
    assert_eq!(read().0, seen);
}

#[test]
fn a_hang_is_told_on_every_vcpu() {
    // A deadlock that occurs within a few runs.
    let (log, ending, _) = (0..100)
        .map(|seed| run("abba", &Recorder::default(), seed))
        .find(|(_, ending, _)| *ending == End::Hang(HangEvidence::Proof))
        .unwrap();
    assert!(ending.is_failure());
    assert_eq!(count(&log, "hangs, proven true"), 2);
}

#[test]
fn a_vcpu_that_is_held_is_not_chosen_until_its_time() {
    let hold = Duration::from_micros(500);
    let recorder = Recorder { hold, ..Recorder::default() };
    let (log, ending, _) = run("lost-update-fixed", &recorder, 1);
    assert_eq!(ending, End::Guest { code: 0 });
    let mut until = 0;
    let mut held = 0;
    let told = count(&log, "held for 500000 ns");
    for line in log.iter().filter(|line| line.starts_with("1 ")) {
        let time = line.split(" at ").nth(1).unwrap().split(' ').next().unwrap();
        let time: u64 = time.parse().unwrap();
        if line.contains("chosen as") {
            assert!(time >= until, "{line}, but held until {until}");
        }
        if line.contains("MmioRead") {
            held += 1;
            until = time + 500_000;
        }
    }
    assert!(held > 2 && told == held, "{held} holds, {told} told");
}

/// The machine is used further without hooks.
#[test]
fn hooks_change_nothing_of_a_run() {
    let mut plain = machine("seqlock");
    let ending = plain.run(&mut random(4), 100_000).unwrap();
    let mut watched = machine("seqlock");
    watched.attach(&[&Recorder::default()]).unwrap();
    assert_eq!(watched.run(&mut random(4), 100_000).unwrap(), ending);
    assert_eq!(watched.hash(), plain.hash());
}

/// A chooser that always takes the first choice.
struct First;

impl Chooser for First {
    fn choose(&mut self, point: &Point) -> Choice {
        point.enabled[0]
    }
}

#[test]
fn a_machine_whose_only_awake_vcpu_is_held_waits_for_it() {
    let recorder = Recorder { hold: Duration::from_millis(3), ..Recorder::default() };
    let mut machine = machine("lost-update-fixed");
    machine.attach(&[&recorder]).unwrap();
    assert_eq!(machine.run(&mut First, 100_000).unwrap(), End::Guest { code: 0 });
}

type Want = fn(&mut HookActions);

/// Requests an action once, at the first vCPU's first exit.
struct Wants(Want);

impl Attach for Wants {
    fn attach(&self, vcpu: u32, _: u32) -> Box<dyn Hook> {
        Box::new(Wanting((vcpu == 0).then_some(self.0)))
    }
}

struct Wanting(Option<Want>);

impl Hook for Wanting {
    fn points(&self) -> Points {
        Points::EXIT | Points::STOP
    }

    fn exit(&mut self, context: &mut Context, _: &Exit) -> Verdict {
        if let Some(wants) = self.0.take() {
            wants(context.actions.as_deref_mut().unwrap());
        }
        Verdict::Continue
    }

    fn stop(&mut self, context: &mut Context) {
        assert!(context.actions.is_none(), "the run is over");
    }
}

#[test]
fn what_a_schedule_does_not_say_ends_a_controlled_run_with_an_error() {
    let wants: [(Want, &str); 4] = [
        (|wanted| wanted.set_register(crate::registers::Register::Rax, 1), "a register was set"),
        (|wanted| wanted.nmi(0), "an NMI was sent"),
        (|wanted| wanted.stop(0), "the run was stopped"),
        (HookActions::suspend, "the run was suspended"),
    ];
    for (wants, what) in wants {
        let mut machine = machine("lost-update");
        machine.attach(&[&Wants(wants)]).unwrap();
        let refused = machine.run(&mut random(1), 100_000).unwrap_err().to_string();
        assert!(refused.starts_with(what), "{refused}");
        assert!(
            refused.ends_with("a controlled run does only what its schedule says"),
            "{refused}"
        );
    }
}

static CORE: Mutex<PathBuf> = Mutex::new(PathBuf::new());

#[test]
fn a_controlled_run_is_dumped_and_stays_the_same() {
    let mut plain = machine("lost-update");
    let ending = plain.run(&mut random(1), 100_000).unwrap();
    let mut dumped = machine("lost-update");
    let folder = std::env::temp_dir().join(format!("jitterbug-controlled-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    *CORE.lock().unwrap() = folder.join("core");
    dumped.attach(&[&Wants(|wanted| wanted.dump(CORE.lock().unwrap().clone()))]).unwrap();
    assert_eq!(dumped.run(&mut random(1), 100_000).unwrap(), ending);
    assert_eq!(dumped.hash(), plain.hash());
    assert_eq!(dumped.dumps(), [folder.join("core")]);
    dumped.detach();
    assert_eq!(std::fs::read(folder.join("core")).unwrap()[..4], *b"\x7fELF");
    std::fs::remove_dir_all(&folder).unwrap();
}
