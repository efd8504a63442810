use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::end::End;
use crate::exit::Bytes;
use crate::hook::{Hook, Verdict};
use crate::identity::{Frequencies, Identity};
use crate::memory::MemorySize;
use crate::scripted::ScriptedCpu;
use crate::testing::NoController;

/// Records its calls.
struct Recorder {
    log: Arc<Mutex<Vec<String>>>,
    verdict: Verdict,
}

impl Hook for Recorder {
    fn points(&self) -> Points {
        Points::all()
    }

    fn start(&mut self, _: &mut Context) {
        self.log.lock().unwrap().push("start".into());
    }

    fn exit(&mut self, _: &mut Context, exit: &Exit) -> Verdict {
        self.log.lock().unwrap().push(exit.name().into());
        self.verdict
    }

    fn entry(&mut self, _: &mut Context, entry: &Entry) {
        self.log.lock().unwrap().push(match entry {
            Entry::Resume => "resume".into(),
            Entry::Data(data) => format!("{data:02x?}"),
        });
    }

    fn held(&mut self, context: &mut Context, time: Duration) {
        assert!(context.held);
        self.log.lock().unwrap().push(format!("held for {time:?}"));
    }

    fn stop(&mut self, _: &mut Context) {
        self.log.lock().unwrap().push("stop".into());
    }
}

fn devices(board: &Board) -> Devices<'_> {
    Devices { board, controller: Box::new(NoController) }
}

fn end_with(code: u8) -> Exit {
    Exit::PortWrite { port: 0xf4, size: 1, data: Bytes::from_slice(&[code]) }
}

/// Runs these exits through the loop; returns the report, the end, and the records of a hook.
fn play(exits: Vec<Exit>, verdict: Verdict) -> (VcpuReport, Option<End>, Vec<String>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let recorder: Box<dyn Hook> = Box::new(Recorder { log: log.clone(), verdict });
    let memory = Arc::new(Memory::new(MemorySize::default()).unwrap());
    let ctx = VcpuContext::new(0, 1, ScriptedCpu::new(exits), memory.clone());
    let frequencies = Frequencies { tsc_khz: 1, bus_khz: 1 };
    let board = Board::bare(Identity::None, frequencies);
    let control = Control::new(1).unwrap();
    let report = VcpuLoop::new(
        ctx,
        HookSet::new(std::iter::once(recorder)),
        None,
        None,
        devices(&board),
        &control,
    )
    .run(|_| {});
    let outcome = control.outcome(vec![report.clone()], memory);
    let log = log.lock().unwrap().clone();
    (report, outcome.ok().map(|outcome| outcome.end), log)
}

#[test]
fn an_exit_goes_from_the_hooks_to_the_bus_to_the_hooks() {
    let read = Exit::PortRead { port: 0x80, size: 2, count: 1 };
    let (report, end, log) = play(vec![read, end_with(0)], Verdict::Continue);
    assert!(matches!(end, Some(End::Guest { code: 0 })));
    assert_eq!(log, ["start", "port-read", "[ff, ff]", "port-write", "stop"]);
    assert_eq!((report.exits.port_read, report.exits.port_write), (1, 1));
    assert!(report.state.is_none(), "a success needs no post-mortem");
}

#[test]
fn a_failure_keeps_the_vcpus_state() {
    let (report, end, _) = play(vec![end_with(3)], Verdict::Continue);
    assert!(matches!(end, Some(End::Guest { code: 3 })));
    assert!(report.state.is_some());
    let (_, end, _) = play(vec![Exit::Shutdown], Verdict::Continue);
    assert!(matches!(end, Some(End::TripleFault { vcpu: 0 })));
    let internal =
        Exit::InternalError { suberror: 1, instruction: Bytes::from_slice(&[0x0f, 0xa2]) };
    let (_, end, _) = play(vec![internal], Verdict::Continue);
    assert!(end.unwrap().description().to_string().contains("`cpuid` (bytes 0f a2)"));
}

#[test]
fn a_hold_takes_its_time() {
    let read = Exit::PortRead { port: 0x80, size: 1, count: 1 };
    let start = std::time::Instant::now();
    let (_, _, log) = play(vec![read, end_with(0)], Verdict::Hold(Duration::from_millis(5)));
    assert!(start.elapsed() >= Duration::from_millis(10), "two exits, two holds");
    let held = "held for 5ms";
    assert_eq!(log, ["start", "port-read", held, "[ff]", "port-write", held, "stop"]);
}

#[test]
fn a_broken_thread_ends_the_run() {
    struct Bomb;
    impl Hook for Bomb {
        fn points(&self) -> Points {
            Points::START
        }

        fn start(&mut self, _: &mut Context) {
            panic!("on purpose");
        }
    }
    let control = Control::new(1).unwrap();
    let memory = Arc::new(Memory::new(MemorySize::default()).unwrap());
    let board = Board::bare(Identity::None, Frequencies { tsc_khz: 1, bus_khz: 1 });
    let died = thread::scope(|scope| {
        let bomb: Box<dyn Hook> = Box::new(Bomb);
        let ctx = VcpuContext::new(0, 1, ScriptedCpu::new([]), memory.clone());
        let hooks = HookSet::new(std::iter::once(bomb));
        let (devices, control) = (devices(&board), &control);
        scope
            .spawn(move || VcpuLoop::new(ctx, hooks, None, None, devices, control).run(|_| {}))
            .join()
    });
    assert!(died.is_err() && control.is_over());
}

#[test]
fn a_suspended_vcpu_runs_on_when_it_is_let_go() {
    struct Suspend(Arc<AtomicBool>);
    impl Hook for Suspend {
        fn points(&self) -> Points {
            Points::EXIT | Points::HOLD
        }

        fn held(&mut self, _: &mut Context, _: Duration) {
            self.0.store(true, Ordering::SeqCst);
        }

        fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
            if matches!(exit, Exit::PortRead { .. }) {
                context.actions.as_deref_mut().unwrap().suspend();
            }
            Verdict::Continue
        }
    }
    let control = Control::new(1).unwrap();
    let memory = Arc::new(Memory::new(MemorySize::default()).unwrap());
    let board = Board::bare(Identity::None, Frequencies { tsc_khz: 1, bus_khz: 1 });
    let read = Exit::PortRead { port: 0x80, size: 1, count: 1 };
    let cpu = ScriptedCpu::new([read, end_with(0)]);
    thread::scope(|scope| {
        let held = Arc::new(AtomicBool::new(false));
        let hook: Box<dyn Hook> = Box::new(Suspend(held.clone()));
        let ctx = VcpuContext::new(0, 1, cpu, memory.clone());
        let hooks = HookSet::new(std::iter::once(hook));
        let (devices, control) = (devices(&board), &control);
        let vcpu = scope.spawn(move || {
            VcpuLoop::new(ctx, hooks, None, None, devices, control).resumable(true).run(|_| {})
        });
        while !held.load(Ordering::SeqCst) {
            assert!(!control.is_over() && !vcpu.is_finished(), "the vCPU ran on");
            thread::yield_now();
        }
        assert!(control.is_suspended());
        control.resume();
        vcpu.join().unwrap();
    });
    assert!(control.is_success());
}
