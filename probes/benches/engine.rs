//! What a firing costs, operation by operation: `cargo bench -p jitterbug-probes`.
//!
//! Each benchmark fires one probe on a vCPU without KVM, as a driver would, from the point to the
//! end of the firing. What KVM takes to leave the guest, and to give out registers, is not in it.
//! Time is the thread's own, so that other programs on the machine count as little as they can.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use nix::time::{ClockId, clock_gettime};
use probes::engine::Event;
use probes::point::{Fixed, Point};
use probes::session::VcpuProbes;
use probes::{Options, Output, Script, Session, Source};
use vmm::hook::Context;
use vmm::memory::{Memory, MemorySize};
use vmm::registers::{Registers, Segment, SystemRegisters};
use vmm::scripted::ScriptedCpu;

/// The time that the thread has used of its processor.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
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

/// Linear addresses of the first 2 MiB are guest-physical ones, by one large page.
const TABLES: u64 = 0x10_0000;
/// A stack of 8 frames.
const STACK: u64 = 0x18_0000;
/// Where its functions are.
const CODE: u64 = 0x8_0000;

fn guest() -> (Memory, ScriptedCpu) {
    let memory = Memory::new(MemorySize::new(4 << 20).expect("a size")).expect("memory");
    let put = |address: u64, value: u64| memory.write(address, &value.to_le_bytes()).expect("RAM");
    put(TABLES, (TABLES + 0x1000) | 3);
    put(TABLES + 0x1000, (TABLES + 0x2000) | 3);
    put(TABLES + 0x2000, 0x83);
    // RIP, and seven callers: each frame's saved RBP, and the return address above it.
    for frame in 0..7 {
        let at = STACK + frame * 0x20;
        put(at, if frame == 6 { 0 } else { at + 0x20 });
        put(at + 8, CODE + 0x100 + frame * 0x40);
    }
    let mut cpu = ScriptedCpu::new([]);
    cpu.registers = Registers { rip: CODE, rsp: STACK - 0x20, rbp: STACK, ..Registers::default() };
    cpu.system_registers = SystemRegisters {
        cs: Segment { selector: 8, access: 0xa09b, limit: u32::MAX, base: 0 },
        cr0: SystemRegisters::CR0_PG | SystemRegisters::CR0_PE,
        cr3: TABLES,
        cr4: SystemRegisters::CR4_PAE,
        efer: SystemRegisters::EFER_LMA,
        ..SystemRegisters::default()
    };
    (memory, cpu)
}

/// The probes of one vCPU, and what they look at.
struct Bench {
    session: Session,
    probes: VcpuProbes,
    memory: Memory,
    cpu: ScriptedCpu,
}

impl Bench {
    fn new(text: &str, output: &Output) -> Self {
        let source = Source::new("bench.vp", text);
        let script = Script::load(&[source], &Options::default()).expect("a script");
        let session = Session::new(&script, output.sink());
        let probes = session.vcpu(0);
        let (memory, cpu) = guest();
        Self { session, probes, memory, cpu }
    }

    fn fire(&mut self) {
        let mut context = Context {
            vcpu: 0,
            vcpus: 1,
            cpu: &mut self.cpu,
            memory: &self.memory,
            now: Duration::ZERO,
            point: None,
            started: true,
            held: false,
            interventions: None,
        };
        let event = Event::new(&[0x3f8, 1, 1]);
        black_box(self.probes.fire(Point::fixed(Fixed::In), &event, &mut context));
    }
}

const FIRINGS: &[(&str, &str, &str)] = &[
    ("empty", "", "0"),
    ("false_predicate", "", "/ (== ARG0 1) / 0"),
    ("arithmetic", "(definteger n)", "(setint n (+ (* n 3) (>> ARG0 1) 7))"),
    (
        "cond",
        "(definteger n)",
        "(cond ((== ARG0 1) (setint n 1)) ((== ARG0 2) (setint n 2)) (1 (setint n 3)))",
    ),
    ("call", "(definteger n) (defun f (x) (+ x 1))", "(setint n (f n))"),
    ("aggregate_integer_key", "(defaggr a 1 0)", "(aggr a (ARG0) () 1)"),
    ("aggregate_string_key", "(defaggr a 0 1)", "(aggr a () (PROBENAME) 1)"),
    ("aggregate_stack_key", "(defaggr a 0 1)", "(aggr a () ((gueststack)) (count))"),
    ("histogram", "(defaggr a 0 0)", "(aggr a () () (hist ARG0))"),
    ("bag_insert_and_remove", "(defbag b 8)", "(baginsert b ARG0 1) (bagremove b ARG0)"),
    ("register", "(definteger n)", "(setint n RIP)"),
    ("guest_read", "(definteger n)", "(setint n (getguest 0x1000))"),
    ("guest_string", "(defstring s)", "(getgueststr s 32 0x1000)"),
    ("stack_of_8_frames", "(defstring s)", "(gueststack s)"),
    ("sprintf", "(defstring s)", "(sprintf s \"port %#x of %d\" ARG0 VCPUID)"),
    ("printf", "", "(printf \"port %#x of %d\\n\" ARG0 VCPUID)"),
];

fn firings(criterion: &mut Criterion<ThreadTime>) {
    let output = Output::to_callback(|_| {}, None).expect("a thread");
    let mut group = criterion.benchmark_group("firing");
    for (name, definitions, body) in FIRINGS {
        let mut bench = Bench::new(&format!("{definitions} (vprobe In {body})"), &output);
        group.bench_function(*name, |bencher| bencher.iter(|| bench.fire()));
        let counts = bench.session.counts();
        let (fired, cancelled) = (counts[0].firings + counts[0].filtered, counts[0].cancelled);
        assert!(fired > 0 && cancelled == 0, "{name}: {fired} firings, {cancelled} cancelled");
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

/// The same in Emmett.
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
