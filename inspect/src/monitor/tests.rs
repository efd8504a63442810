use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vmm::registers::{Registers, SystemRegisters};

use super::*;
use crate::test_guest::{tsc_sync_guest, tsc_sync_symbols};

const TEXT: u64 = 0xffff_ffff_fb85_4000;

#[test]
fn commands_are_read() {
    let ok = |line: &str| Command::parse(line).unwrap();
    assert_eq!(ok(" nmi \n"), Command::Nmi(None));
    assert_eq!(ok("nmi 3"), Command::Nmi(Some(3)));
    assert_eq!(ok("dump  a file.core"), Command::Dump(PathBuf::from("a file.core")));
    for line in HELP.lines() {
        let word = line.split_whitespace().next().unwrap();
        let command = if word == "dump" { ok("dump x") } else { ok(word) };
        assert!(format!("{command:?}").to_lowercase().starts_with(word), "{command:?}");
    }
}

#[test]
fn what_is_no_command_is_refused_with_a_reason() {
    for (line, reason) in [
        ("", "no command; `help`"),
        ("nmi x", "nmi x: not the number of a vCPU"),
        ("nmi -1", "not the number"),
        ("nmi 99999999999", "not the number"),
        ("dump ", "dump: which file?"),
        ("pause now", "pause now: this command has no argument"),
        ("Pause", "Pause: no such command"),
        ("\u{1b}[2Jx", "\\u{1b}[2Jx: no such command"),
    ] {
        let refusal = Command::parse(line).unwrap_err();
        assert!(matches!(&refusal, Refusal::Usage(text) if text.contains(reason)), "{refusal}");
    }
    let long = Command::parse(&"x".repeat(5000)).unwrap_err().to_string();
    assert!(long.len() < 200, "{long}");
}

#[test]
fn without_a_machine_nothing_is_done() {
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    let quit = move || end.store(true, Ordering::Relaxed);
    let monitor = Monitor::new(Remote::default(), Arc::default(), quit);
    for line in ["status", "stacks", "waits", "pause", "resume", "nmi", "dump x"] {
        let refusal = monitor.execute(&Command::parse(line).unwrap()).unwrap_err();
        assert!(matches!(&refusal, Refusal::Failed(text) if text.contains("no machine")), "{line}");
    }
    assert!(monitor.execute(&Command::Help).unwrap().contains("dump FILE"));
    // Between two runs, it is the next one that would go on.
    assert_eq!(monitor.execute(&Command::Quit).unwrap(), "the run ends\n");
    assert!(ended.load(Ordering::Relaxed));
}

fn vcpu(rip: u64, activity: Activity, rflags: u64, system: &SystemRegisters) -> VcpuState {
    let registers = Registers { rip, rflags, rax: 7, ..Registers::default() };
    VcpuState { activity, registers, system: *system }
}

#[test]
fn a_vcpu_spins_only_if_it_was_in_the_loop_at_every_look() {
    let (memory, system) = tsc_sync_guest();
    let inspector = Inspector::from(Some(tsc_sync_symbols()));
    let at = |rip: u64| [vcpu(rip, Activity::Running, 2, &system)];
    let text = |rips: &[u64], period: Option<u64>| {
        let mut seen = waits::Seen::default();
        for rip in rips {
            seen.add(&at(*rip));
        }
        let last = at(*rips.last().unwrap());
        let period = period.map(Duration::from_millis);
        waits::text(&seen, &last, &memory, &inspector, period)
    };
    let spins = text(&[TEXT + 0x0b, TEXT + 0x13], Some(20));
    assert_eq!(
        spins,
        "vCPU 0: spins in tsc_sync_master+0x13 (tsc_sync.c:16): cmp $0x1,%eax; reads tsc_ready at \
         0xfffffffffb856020, 4 bytes, value 0x7; in this loop at 2 looks in 20ms; interrupts off\n"
    );
    let passes = text(&[TEXT + 0x1000, TEXT + 0x13], Some(20));
    assert!(passes.starts_with("vCPU 0: is in tsc_sync_master+0x13"), "{passes}");
    assert!(passes.contains("; at 2 places in 20ms") && !passes.contains("reads"), "{passes}");
    let paused = text(&[TEXT + 0x13], None);
    assert!(paused.contains("; the loop around it reads tsc_ready at"), "{paused}");
    assert!(paused.contains("paused: whether it spins can't be told"), "{paused}");
}

#[test]
fn halted_and_unstarted_vcpus_are_told_apart() {
    let (memory, system) = tsc_sync_guest();
    let vcpus = [
        vcpu(TEXT + 1, Activity::Halted, Registers::INTERRUPT_FLAG, &system),
        vcpu(TEXT + 1, Activity::Halted, 2, &system),
        vcpu(0, Activity::WaitForSipi, 2, &system),
    ];
    let mut seen = waits::Seen::default();
    seen.add(&vcpus);
    let text = waits::text(&seen, &vcpus, &memory, &Inspector::default(), None);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "vCPU 0: halted in 0xfffffffffb854001; waits for an interrupt");
    assert!(lines[1].ends_with(" with interrupts off; only an NMI or a reset wakes it"), "{text}");
    assert_eq!(lines[2], "vCPU 2: not started: waits for its SIPI");
    let stacks = stacks(&vcpus, &memory, &Inspector::default());
    assert!(stacks.starts_with("vCPU 0: halted\n  0xfffffffffb854001\n"), "{stacks}");
    assert!(stacks.ends_with("vCPU 2: not started: waits for its SIPI\n"), "{stacks}");
}
