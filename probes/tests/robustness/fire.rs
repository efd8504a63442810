//! Loads a script and fires its probes on a vCPU without KVM. The tests of robustness and the fuzz
//! targets (`fuzz/`) do this with arbitrary text.

use std::sync::LazyLock;
use std::time::Duration;

use probes::engine::{Budget, Event};
use probes::point::Mechanisms;
use probes::{Options, Output, Script, Session, Source, Style};
use vmm::exit::{Entry, Exit};
use vmm::hook::{Context, Hook, HookActions};
use vmm::memory::{Memory, MemorySize};
use vmm::registers::Registers;
use vmm::scripted::ScriptedCpu;

static OUTPUT: LazyLock<Output> =
    LazyLock::new(|| Output::to_callback(|_| {}, None).expect("a thread"));

/// The guest of the engine's tests, whose first 2 MiB are identity-mapped.
fn guest() -> (Memory, ScriptedCpu) {
    const TABLES: u64 = 0x10_0000;
    let memory = Memory::new(MemorySize::new(2 << 20).expect("a size")).expect("memory");
    memory.write(0x1000, &0x1_0000_1000_u64.to_le_bytes()).expect("RAM");
    let mut cpu = ScriptedCpu::with_paging(&memory, TABLES).expect("RAM");
    cpu.registers = Registers { rip: 0x1000, rsp: 0x8000, rbp: 0x8000, ..Registers::default() };
    (memory, cpu)
}

/// Loads a script, renders its diagnostics, and fires its probes, with a ring for odd seeds.
/// Returns whether the script was accepted.
pub(crate) fn load_and_run(name: &str, text: &str, seed: u64) -> bool {
    let options = Options {
        budget: Budget { steps: 3000, time: None },
        mechanisms: Mechanisms::all(),
        destructive: true,
        ring: (seed % 2 == 1).then_some(3),
        ..Options::default()
    };
    let script = match Script::load(&[Source::new(name, text)], &options) {
        Ok(script) => script,
        Err(diagnostics) => {
            assert!(!diagnostics.render(Style::Unicode).is_empty());
            return false;
        }
    };
    script.warnings().render(Style::Ascii);
    let session = Session::new(&script, OUTPUT.sink());
    let (memory, mut cpu) = guest();
    let mut probes = session.vcpu(0);
    let mut now = Duration::ZERO;
    // Requested actions are collected and not carried out. Stores to memory take effect at once.
    let mut actions = HookActions::default();
    for round in 0..4_u32 {
        let mut context = Context {
            vcpu: 0,
            vcpus: 1,
            cpu: &mut cpu,
            memory: &memory,
            now,
            point: None,
            started: true,
            held: false,
            actions: (round < 3).then_some(&mut actions),
        };
        match round {
            0 => probes.start(&mut context),
            1 => {
                probes.tick(&mut context);
                probes.exit(&mut context, &Exit::PortRead { port: 5, size: 1, count: 1 });
                probes.entry(&mut context, &Entry::Resume);
            }
            2 => {
                for point in session.points() {
                    probes.fire(point, &Event::new(&[1, 2, 3]), &mut context);
                }
            }
            _ => probes.stop(&mut context),
        }
        now += Duration::from_secs(1);
    }
    session.print_ring();
    session.finish();
    true
}
