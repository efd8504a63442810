//! Both front ends, and the engine on whatever they accept.

use std::time::{Duration, Instant};

use probes::engine::{Budget, Event};
use probes::point::Mechanisms;
use probes::{Options, Output, Script, Session, Source, Style};
use vmm::exit::{Entry, Exit};
use vmm::hook::{Context, Hook};
use vmm::memory::{Memory, MemorySize};
use vmm::registers::{Registers, Segment, SystemRegisters};
use vmm::scripted::ScriptedCpu;

use crate::generate::{EMMETT, VP, WORDS, script};
use crate::{MOST_MEMORY, Random, SLOWEST, inputs, peak_memory, try_all};

/// The guest of the engine's tests: the first 2 MiB are mapped as they are.
fn guest() -> (Memory, ScriptedCpu) {
    const TABLES: u64 = 0x10_0000;
    let memory = Memory::new(MemorySize::new(2 << 20).expect("a size")).expect("memory");
    let put = |address: u64, value: u64| memory.write(address, &value.to_le_bytes()).expect("RAM");
    put(TABLES, (TABLES + 0x1000) | 3);
    put(TABLES + 0x1000, (TABLES + 0x2000) | 3);
    put(TABLES + 0x2000, 0x83);
    put(0x1000, 0x1_0000_1000);
    let mut cpu = ScriptedCpu::new([]);
    cpu.registers = Registers { rip: 0x1000, rsp: 0x8000, rbp: 0x8000, ..Registers::default() };
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

/// Loads a script, shows what is said about it, and fires what it has.
fn load_and_run(name: &str, text: String, output: &Output, random: &mut Random) -> bool {
    let options = Options {
        budget: Budget { steps: 3000, time: None },
        mechanisms: Mechanisms::all(),
        ring: (random.below(2) == 0).then_some(3),
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
    let session = Session::new(&script, output.sink());
    let (memory, mut cpu) = guest();
    let mut probes = session.vcpu(0);
    let mut now = Duration::ZERO;
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

#[test]
fn vp_scripts() {
    let output = Output::to_callback(|_| {}, None).expect("a thread");
    try_all(4000, |random| {
        let text = script(random, VP);
        load_and_run("fuzz.vp", text, &output, random)
    });
}

#[test]
fn emmett_scripts() {
    let output = Output::to_callback(|_| {}, None).expect("a thread");
    try_all(4000, |random| {
        let text = script(random, EMMETT);
        load_and_run("fuzz.emt", text, &output, random)
    });
}

/// Else the tests below would only show that mistakes are refused.
#[test]
fn the_scripts_to_begin_with_work() {
    let output = Output::to_callback(|_| {}, None).expect("a thread");
    for (name, seeds) in [("seed.vp", VP), ("seed.emt", EMMETT)] {
        for seed in seeds {
            let options = Options { mechanisms: Mechanisms::all(), ..Options::default() };
            if let Err(error) = Script::load(&[Source::new(name, *seed)], &options) {
                panic!("{error}");
            }
            assert!(load_and_run(name, (*seed).to_owned(), &output, &mut Random(0)));
        }
    }
}

#[test]
fn words_in_any_order() {
    let output = Output::to_callback(|_| {}, None).expect("a thread");
    for seed in 0..inputs(4000) {
        let random = &mut Random(seed);
        let words: Vec<&str> = (0..random.below(60)).map(|_| random.pick(WORDS)).collect();
        let text = words.join([" ", "", "\n"][random.below(3)]);
        let name = ["fuzz.vp", "fuzz.emt"][random.below(2)];
        load_and_run(name, text, &output, random);
    }
}

#[test]
fn nesting_without_end() {
    let output = Output::to_callback(|_| {}, None).expect("a thread");
    let random = &mut Random(0);
    for (name, start) in [("deep.vp", "(vprobe VMM1Hz "), ("deep.emt", "VMM1Hz x = ")] {
        for piece in [
            "(",
            "[",
            "{",
            "((",
            "(+ 1 ",
            "(cond (1 ",
            "(do ",
            "!",
            "~",
            "-",
            "*",
            "&",
            "x?",
            "x=",
            "x->",
            "f(",
            "a[",
            "(int)",
            "sizeof ",
            "x+",
            "1,",
            "{if(x)",
            "if(x)",
            "else ",
            "try ",
            "for(;;)",
            "struct{",
            "int*",
            "*x",
            "x[1]",
            "x++",
            "a<-",
            "\"a\"",
            "\"a\"+",
            ";",
            "int x;",
            "/*",
            "//",
            "#",
            "#if 1\n",
            "#define A A\n",
            "typedef int",
            "enum{",
            "@",
            "x.y.",
            "x:",
        ] {
            for count in [99, 101, 20_000] {
                let text = format!("{start}{}", piece.repeat(count));
                let before = Instant::now();
                load_and_run(name, text, &output, random);
                assert!(before.elapsed() < SLOWEST, "{piece} {count}: {:?}", before.elapsed());
            }
        }
    }
    assert!(peak_memory() < MOST_MEMORY, "{} MiB", peak_memory() >> 20);
}
