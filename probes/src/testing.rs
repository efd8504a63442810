//! Helpers for tests: a vCPU without KVM, a guest with page tables and a stack, and captured
//! output.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use vmm::GuestImage;
use vmm::boot::segments::Segments;
use vmm::cpu::Cpu;
use vmm::exit::{Entry, Exit};
use vmm::hook::{Attach, Context, Hook, HookActions, Points};
use vmm::memory::{Memory, MemorySize};
use vmm::registers::{Activity, DebugRegisters, Registers, Segment, SystemRegisters};

use crate::{LineKind, Options, Output, OutputLine, Script, Session, Source};

/// The address at which the guest's kernel is mapped, as in illumos.
pub(crate) const KERNEL: u64 = 0xffff_ffff_fb80_0000;
/// The guest-physical address of its 2 MiB of memory.
pub(crate) const KERNEL_PHYSICAL: u64 = 0x20_0000;
const TABLES: u64 = 0x10_0000;
const PRESENT_WRITE: u64 = 3;
const LARGE: u64 = 1 << 7;

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

/// System registers for 64-bit code with page tables at `cr3`.
pub(crate) fn long_mode(cr3: u64) -> SystemRegisters {
    SystemRegisters {
        cs: Segment { selector: 0x28, access: 0xa09b, limit: 0xffff_ffff, base: 0 },
        cr0: SystemRegisters::CR0_PG | SystemRegisters::CR0_PE,
        cr3,
        cr4: SystemRegisters::CR4_PAE,
        efer: SystemRegisters::EFER_LMA | 0x100,
        ..SystemRegisters::default()
    }
}

/// A guest whose kernel is mapped by one large page.
pub(crate) fn guest() -> (Memory, SystemRegisters) {
    let memory = Memory::new(MemorySize::new(4 << 20).expect("a size")).expect("memory");
    let index = |shift: u32| (KERNEL >> shift & 0x1ff) * 8;
    put(&memory, TABLES + index(39), &((TABLES + 0x1000) | PRESENT_WRITE).to_le_bytes());
    put(&memory, TABLES + 0x1000 + index(30), &((TABLES + 0x2000) | PRESENT_WRITE).to_le_bytes());
    let page = KERNEL_PHYSICAL | PRESENT_WRITE | LARGE;
    put(&memory, TABLES + 0x2000 + index(21), &page.to_le_bytes());
    (memory, long_mode(TABLES))
}

/// Writes to guest-physical memory.
pub(crate) fn put(memory: &Memory, address: u64, bytes: &[u8]) {
    memory.write(address, bytes).expect("RAM");
}

/// Writes to the guest kernel's memory.
pub(crate) fn put_kernel(memory: &Memory, address: u64, bytes: &[u8]) {
    put(memory, address - KERNEL + KERNEL_PHYSICAL, bytes);
}

/// The address of the stack in [`hung_guest`].
pub(crate) const STACK: u64 = KERNEL + 0x1f_0000;

/// The guest of 2012, which spins in a function that has one caller.
pub(crate) fn hung_guest() -> (Memory, FakeCpu) {
    let (memory, system) = guest();
    // pause; jmp .-2
    put_kernel(&memory, 0xffff_ffff_fb85_45c6, &[0xf3, 0x90, 0xeb, 0xfc]);
    put_kernel(&memory, STACK, &0_u64.to_le_bytes());
    put_kernel(&memory, STACK + 8, &0xffff_ffff_fb85_4a79_u64.to_le_bytes());
    let registers = Registers {
        rip: 0xffff_ffff_fb85_45c6,
        rsp: STACK - 0x20,
        rbp: STACK,
        ..Registers::default()
    };
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

/// An ELF file in the range of illumos' kernel; its source is beside it.
pub(crate) const TSC_SYNC: &[u8] = include_bytes!("../testdata/tsc_sync.elf");

/// The symbols of [`TSC_SYNC`].
pub(crate) fn tsc_sync_symbols() -> std::sync::Arc<crate::Symbols> {
    std::sync::Arc::new(crate::Symbols::from_elf("tsc_sync.elf", TSC_SYNC).expect("an ELF file"))
}

/// The address at which the data of [`TSC_SYNC`] begins.
pub(crate) const DATA: u64 = 0xffff_ffff_fb85_6000;

/// The segments of [`TSC_SYNC`], which is loaded at the addresses for which it is linked.
pub(crate) fn tsc_sync_segments() -> Segments {
    Segments::of(&GuestImage { name: "tsc_sync.elf".into(), bytes: TSC_SYNC.into() })
}

/// A guest with [`TSC_SYNC`] in its memory.
pub(crate) fn tsc_sync_guest() -> (Memory, SystemRegisters) {
    use object::{Object, ObjectSection};
    let (memory, system) = guest();
    let file = object::File::parse(TSC_SYNC).expect("an ELF file");
    for name in [".text", ".data"] {
        let section = file.section_by_name(name).expect("a section");
        put_kernel(&memory, section.address(), section.data().expect("its bytes"));
    }
    (memory, system)
}
