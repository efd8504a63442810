use std::borrow::Cow;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use vmm::controlled::{Choice, ControlledMachine};
use vmm::end::{End, HangEvidence};
use vmm::hook::{ApicEvent, Attach, IpiMode, MsrAccess, Points};
use vmm::kvm::host;
use vmm::{CpuCount, GuestImage, Host, MachineConfig};

use crate::testing::{Bench, load_for};
use crate::{LineKind, Options, Output, Script, Session};

const SECOND: Duration = Duration::from_secs(1);

fn load(text: &str) -> Script {
    load_for(text, &Options::controlled())
}

#[test]
fn what_the_local_apic_does_fires_its_points() {
    let script = load(
        "(vprobe LAPIC_Read (printf \"read %x %x\\n\" ARG0 ARG1))
         (vprobe LAPIC_Write (printf \"write %x %x\\n\" ARG0 ARG1))
         (vprobe LAPIC_EOI (printf \"eoi %x\\n\" ARG0))
         (vprobe IPI_Send (printf \"ipi %x %x %d\\n\" ARG0 ARG1 ARG2))
         (vprobe Guest_INIT (printf \"init\\n\")) (vprobe Guest_SIPI (printf \"sipi\\n\"))
         (vprobe Guest_NMI (printf \"nmi\\n\")) (vprobe Guest_HLT (printf \"halt\\n\"))
         (vprobe Guest_IRQ (printf \"irq %x\\n\" ARG0))",
    );
    let mut bench = Bench::new(&script);
    // The parallel scheduler reports the SIPI as an exit.
    assert_eq!(bench.hook.points(), Points::STOP | Points::EXIT | Points::APIC);
    let ipi = |mode| ApicEvent::Ipi { mode, targets: 0b101 };
    for event in [
        ApicEvent::Read { register: 0x20, value: 0x100_0000 },
        ApicEvent::Write { register: 0x300, value: 0xc4500 },
        ApicEvent::EndOfInterrupt { vector: Some(0x22) },
        ipi(IpiMode::Fixed { vector: 0x22 }),
        ipi(IpiMode::Nmi),
        ipi(IpiMode::Init),
        ipi(IpiMode::Startup { vector: 8 }),
        ApicEvent::Init,
        ApicEvent::Startup { page: 8 },
        ApicEvent::Nmi,
        ApicEvent::Interrupt { vector: 0x22 },
        ApicEvent::Halt,
    ] {
        bench.with(SECOND, |hook, context| {
            hook.apic(context, &event);
        });
    }
    assert_eq!(
        bench.script_lines(),
        [
            "read 20 1000000",
            "write 300 c4500",
            "eoi 22",
            "ipi 5 22 0",
            "ipi 5 0 4",
            "ipi 5 0 5",
            "ipi 5 8 6",
            "init",
            "sipi",
            "nmi",
            "irq 22",
            "halt"
        ]
    );
}

#[test]
fn registers_fire_by_number_and_the_usual_ones_without() {
    let script = load(
        "(vprobe MSR_Read (printf \"%s %x %x\\n\" PROBENAME ARG0 ARG1))
         (vprobe MSR_Write:0x10 (printf \"%s %x %x\\n\" PROBENAME ARG0 ARG1))
         (vprobe MSR_Read:16 (printf \"%s %x %x\\n\" PROBENAME ARG0 ARG1))",
    );
    let mut bench = Bench::new(&script);
    assert_eq!(bench.hook.points(), Points::STOP);
    let msrs = bench.session.msrs();
    assert!(msrs.contains(&0x10) && msrs.contains(&0xc000_0080) && !msrs.contains(&0x6e0));
    for (index, write, value) in [
        (0xc000_0080, false, Some(1)),
        (0xc000_0080, true, Some(2)),
        (0x10, true, Some(3)),
        (0x10, false, None),
    ] {
        bench.with(SECOND, |hook, context| {
            hook.msr(context, &MsrAccess { index, write, value });
        });
    }
    assert_eq!(
        bench.script_lines(),
        ["MSR_Read c0000080 1", "MSR_Write:0x10 10 3", "MSR_Read:16 10 0"]
    );
}

#[test]
fn a_switch_is_told_when_another_vcpu_is_chosen_than_before() {
    let script = load(
        "(vprobe Sched_Point (printf \"%d %d\\n\" ARG0 ARG1))
         (vprobe Sched_Switch (printf \"%d to %d\\n\" ARG0 ARG1))
         (vprobe Guest_Hang (printf \"hang %d on %d\\n\" ARG0 VCPUID))",
    );
    let mut bench = Bench::new(&script);
    assert_eq!(bench.hook.points(), Points::STOP | Points::CHOICE | Points::HANG);
    let choices = [Choice::Step(1), Choice::Interrupt(1), Choice::Step(0), Choice::Step(1)];
    for (number, choice) in (7..).zip(choices) {
        bench.with(SECOND, |hook, context| {
            (context.vcpu, context.point) = (choice.vcpu(), Some(number));
            hook.choice(context, choice);
        });
    }
    bench.with(SECOND, |hook, context| hook.hang(context, true));
    assert_eq!(
        bench.script_lines(),
        ["7 0", "8 1", "9 0", "1 to 0", "10 0", "0 to 1", "hang 1 on 1"]
    );
}

/// Runs a guest of the catalogue under the controlled scheduler, with random choices; returns the
/// lines that its script printed.
fn run(guest: &str, text: &str, seed: u64) -> (End, Vec<String>) {
    let guest = guests::find(guest).expect("a guest");
    let image = GuestImage { name: guest.name.into(), bytes: Cow::Borrowed(guest.image) };
    let config = MachineConfig::new(image, CpuCount::new(guest.default_cpus).expect("a number"));
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).expect("KVM");
    let (sender, lines) = channel();
    let output = Output::to_callback(move |line| drop(sender.send(line)), None).expect("a thread");
    let session = Session::new(&load(text), output.sink());
    let mut machine =
        ControlledMachine::new(&host, &config, Box::new(std::io::sink())).expect("one");
    machine.attach(&[&session]).expect("what the host has");
    let mut state = seed;
    let mut chooser = |point: &vmm::controlled::Point| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        point.enabled[(state >> 33) as usize % point.enabled.len()]
    };
    let ending = machine.run(&mut chooser, 100_000).expect("an ending");
    machine.detach();
    drop((machine, session));
    output.finish().expect("a callback can't fail");
    let script = lines.into_iter().filter(|line| line.kind == LineKind::Script);
    (ending, script.map(|line| line.text().into_owned()).collect())
}

/// vCPU 1 is started and sends an interrupt to vCPU 0, which serves it.
#[test]
fn an_interrupt_s_whole_way_is_seen_in_a_controlled_machine() {
    const SEND_ITEM: u64 = 0x22;
    let text = "(vprobe IPI_Send (printf \"%d sends %x %x %d\\n\" VCPUID ARG0 ARG1 ARG2))
        (vprobe Guest_INIT (printf \"%d init\\n\" VCPUID))
        (vprobe Guest_SIPI (printf \"%d sipi\\n\" VCPUID))
        (vprobe Guest_IRQ (printf \"%d irq %x\\n\" VCPUID ARG0))
        (vprobe LAPIC_EOI (printf \"%d eoi %x\\n\" VCPUID ARG0))";
    let (ending, lines) = run("irq-mainline-fixed", text, 3);
    assert_eq!(ending, End::Guest { code: 0 });
    let started = ["0 sends 2 0 5", "1 init", "0 sends 2 8 6", "1 sipi"];
    let served = [
        format!("1 sends 1 {SEND_ITEM:x} 0"),
        format!("0 irq {SEND_ITEM:x}"),
        format!("0 eoi {SEND_ITEM:x}"),
    ];
    assert_eq!(lines, [started.map(str::to_owned).as_slice(), &served].concat());
    assert_eq!(run("irq-mainline-fixed", text, 3), (ending, lines));
}

#[test]
fn choices_and_the_hang_are_seen_in_a_controlled_machine() {
    let text = "(definteger points) (vprobe Sched_Point (setint points (+ points 1)))
        (vprobe Sched_Switch (printf \"switch\\n\"))
        (vprobe Guest_Hang (printf \"%d hangs, proven %d, after %d\\n\" VCPUID ARG0 (> points 5)))";
    let hang = (0..100).map(|seed| run("abba", text, seed));
    let (_, lines) = hang
        .into_iter()
        .find(|(ending, _)| *ending == End::Hang(HangEvidence::Proof))
        .expect("a hang");
    let hangs: Vec<_> = lines.iter().filter(|line| *line != "switch").collect();
    assert_eq!(hangs, ["0 hangs, proven 1, after 1", "1 hangs, proven 1, after 1"]);
    assert!(lines.len() > 4, "{lines:?}");
}

#[test]
fn registers_are_seen_in_a_controlled_machine() {
    let text = "(vprobe MSR_Write:0xc0000082 (printf \"%d lstar %d\\n\" VCPUID (> ARG1 0xffff)))";
    let (ending, mut lines) = run("tsc-sync-fixed", text, 1);
    assert_eq!(ending, End::Guest { code: 0 });
    lines.sort_unstable();
    // The lines of the APs.
    assert_eq!(lines, (1..6).map(|vcpu| format!("{vcpu} lstar 1")).collect::<Vec<_>>());
}
