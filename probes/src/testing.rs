//! Helpers for tests: a vCPU without KVM, and captured output.

#[path = "../../inspect/src/test_guest.rs"]
mod test_guest;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use inspect::Symbols;
use vmm::GuestImage;
use vmm::boot::segments::Segments;
use vmm::cpu::Cpu;
use vmm::exit::{Entry, Exit};
use vmm::hook::{Attach, Context, Hook, HookActions, Points};
use vmm::memory::Memory;
use vmm::registers::{Activity, DebugRegisters, Registers, SystemRegisters};

use self::test_guest::TSC_SYNC;
pub(crate) use self::test_guest::{KERNEL, STACK, put_kernel, tsc_sync_guest, tsc_sync_symbols};
use crate::{LineKind, Options, Output, OutputLine, Script, Session, Source};

/// A vCPU that consists only of registers.
#[derive(Default)]
pub(crate) struct FakeCpu {
    pub(crate) registers: Registers,
    pub(crate) system: SystemRegisters,
    pub(crate) debug: DebugRegisters,
    /// Whether reads fail.
    pub(crate) broken: bool,
    /// The vCPU's activity; `None` if it runs.
    pub(crate) activity: Option<Activity>,
    /// How often the general registers were read.
    pub(crate) reads: u32,
}

impl FakeCpu {
    fn give<T>(&self, value: T) -> vmm::Result<T> {
        if self.broken {
            let source = std::io::Error::from_raw_os_error(5);
            return Err(vmm::Error::Kvm { call: "KVM_GET_REGS", source });
        }
        Ok(value)
    }
}

impl Cpu for FakeCpu {
    fn run(&mut self, _entry: Entry) -> vmm::Result<Exit> {
        Ok(Exit::Kicked)
    }

    fn registers(&mut self) -> vmm::Result<Registers> {
        self.reads += 1;
        self.give(self.registers)
    }

    fn set_registers(&mut self, _registers: &Registers) -> vmm::Result<()> {
        panic!("a probe never writes registers")
    }

    fn system_registers(&mut self) -> vmm::Result<SystemRegisters> {
        self.give(self.system)
    }

    fn debug_registers(&mut self) -> vmm::Result<DebugRegisters> {
        self.give(self.debug)
    }

    fn msr(&mut self, index: u32) -> vmm::Result<u64> {
        self.give(0x1_0000_0000 | u64::from(index))
    }

    fn tsc_khz(&mut self) -> vmm::Result<u32> {
        self.give(2_800_000)
    }

    fn activity(&mut self) -> vmm::Result<Activity> {
        self.give(self.activity.unwrap_or(Activity::Running))
    }
}

/// The guest of 2012, which spins in a function that has one caller, and its vCPU.
pub(crate) fn hung_guest() -> (Memory, FakeCpu) {
    let (memory, registers, system) = test_guest::hung_guest();
    (memory, FakeCpu { registers, system, ..FakeCpu::default() })
}

/// The context of vCPU 1 of 2.
pub(crate) fn context<'a>(cpu: &'a mut FakeCpu, memory: &'a Memory, now: Duration) -> Context<'a> {
    Context {
        vcpu: 1,
        vcpus: 2,
        cpu,
        memory,
        now,
        point: None,
        started: true,
        held: false,
        actions: None,
    }
}

/// A script that is attached to vCPU 1 of 2.
pub(crate) struct Bench {
    pub(crate) session: Session,
    pub(crate) hook: Box<dyn Hook>,
    pub(crate) cpu: FakeCpu,
    pub(crate) memory: Memory,
    /// The actions that the script requests, which are not carried out.
    pub(crate) actions: HookActions,
    output: Output,
    lines: Receiver<OutputLine>,
}

pub(crate) fn load(text: &str) -> Script {
    load_with(text, false)
}

pub(crate) fn load_with(text: &str, strict: bool) -> Script {
    load_for(text, &Options { strict, ..Options::default() })
}

pub(crate) fn load_for(text: &str, options: &Options) -> Script {
    load_source("test.vp", text, options)
}

/// Loads an Emmett script.
pub(crate) fn load_emmett(text: &str) -> Script {
    load_source("test.emt", text, &Options::default())
}

pub(crate) fn load_source(name: &str, text: &str, options: &Options) -> Script {
    match Script::load(&[Source::new(name, text)], options) {
        Ok(script) => script,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

impl Bench {
    pub(crate) fn new(script: &Script) -> Self {
        let (sender, lines) = channel();
        let callback = move |line| drop(sender.send(line));
        let output = Output::to_callback(callback, None).expect("a thread");
        let session = Session::new(script, output.sink());
        let hook = session.attach(1, 2);
        let (memory, cpu) = hung_guest();
        let actions = HookActions::default();
        Self { session, hook, cpu, memory, actions, output, lines }
    }

    /// Calls the hook as the scheduler would at `now`.
    pub(crate) fn with(&mut self, now: Duration, call: impl FnOnce(&mut dyn Hook, &mut Context)) {
        let mut context = context(&mut self.cpu, &self.memory, now);
        context.actions = Some(&mut self.actions);
        call(&mut *self.hook, &mut context);
    }

    /// Runs the machine until `end`, with every tick on time.
    pub(crate) fn run(&mut self, end: Duration) {
        let asked = self.hook.points();
        if asked.contains(Points::START) {
            self.with(Duration::ZERO, |hook, context| hook.start(context));
        }
        while let Some(now) = self.hook.next_tick().filter(|&now| now <= end) {
            self.with(now, |hook, context| {
                hook.tick(context);
            });
        }
        if asked.contains(Points::STOP) {
            self.with(end, |hook, context| {
                context.actions = None;
                hook.stop(context);
            });
        }
    }

    /// All lines that were printed.
    pub(crate) fn finish(self) -> Vec<OutputLine> {
        drop(self.hook);
        self.output.finish().expect("a callback can't fail");
        self.lines.into_iter().collect()
    }

    /// The lines that the script printed.
    pub(crate) fn script_lines(self) -> Vec<String> {
        let lines = self.finish().into_iter();
        lines
            .filter(|line| line.kind == LineKind::Script)
            .map(|line| line.text().into_owned())
            .collect()
    }
}

/// What a script prints when it is loaded, run for a second and unloaded.
pub(crate) fn lines_of(text: &str) -> Vec<String> {
    let mut bench = Bench::new(&load(text));
    bench.run(Duration::from_secs(1));
    bench.script_lines()
}

/// The address at which the data of [`TSC_SYNC`] begins.
pub(crate) const DATA: u64 = 0xffff_ffff_fb85_6000;

/// The segments of [`TSC_SYNC`], which is loaded at the addresses for which it is linked.
pub(crate) fn tsc_sync_segments() -> Segments {
    Segments::of(&GuestImage { name: "tsc_sync.elf".into(), bytes: TSC_SYNC.into() })
}
