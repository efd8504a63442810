use super::*;
use crate::config::{CpuCount, GuestImage};
use crate::criteria::Criteria;
use crate::scripted::ScriptedCpu;
use crate::testing::{NoClock, NoController};

const FREQUENCIES: Frequencies = Frequencies { tsc_khz: 3_000_000, bus_khz: 1_000_000 };
const PORT: u16 = devices::backdoor::PORT;

fn ask(identity: Identity, cpu: &mut ScriptedCpu, exit: &Exit) -> IoResult {
    let mut wiring = Wiring { clock: &NoClock, controller: &mut NoController };
    Board::bare(identity, FREQUENCIES).answer(0, cpu, exit, &mut wiring).unwrap()
}

fn getversion() -> ScriptedCpu {
    let mut cpu = ScriptedCpu::new([]);
    cpu.registers.rax = devices::backdoor::MAGIC.into();
    cpu.registers.rbx = 0xffff_ffff_0000_0000;
    cpu.registers.rcx = 10;
    cpu.registers.rdx = 0x1_0000_5658;
    cpu
}

fn data(answer: IoResult) -> Bytes {
    match answer {
        IoResult::Enter(Entry::Data(data)) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_backdoor_answers_in_the_registers() {
    let mut cpu = getversion();
    let exit = Exit::PortRead { port: PORT, size: 4, count: 1 };
    let answer = ask(Identity::Vmware, &mut cpu, &exit);
    assert_eq!(data(answer)[..], 6u32.to_le_bytes());
    assert_eq!(cpu.registers.rbx, u64::from(devices::backdoor::MAGIC));
    assert_eq!(cpu.registers.rdx, 0x1_0000_5658, "what the call leaves alone stays whole");
}

#[test]
fn only_a_vmware_has_a_backdoor_and_only_for_32_bits() {
    let narrow = Exit::PortRead { port: PORT, size: 1, count: 1 };
    let mut cpu = getversion();
    let answer = ask(Identity::Vmware, &mut cpu, &narrow);
    assert_eq!(data(answer)[..], [0xff]);
    let exit = Exit::PortRead { port: PORT, size: 4, count: 1 };
    for identity in [Identity::Kvm, Identity::None] {
        let answer = ask(identity, &mut cpu, &exit);
        assert_eq!(data(answer)[..], [0xff; 4]);
    }
    assert_eq!(cpu.registers, getversion().registers);
}

#[test]
fn writing_to_the_backdoor_calls_it_too() {
    let mut cpu = getversion();
    let exit = Exit::PortWrite { port: PORT, size: 4, data: Bytes::from_slice(&[0; 4]) };
    ask(Identity::Vmware, &mut cpu, &exit);
    assert_eq!(cpu.registers.rax, 6);
}

#[test]
fn the_guest_ends_the_run() {
    let exit = Exit::PortWrite { port: 0xf4, size: 4, data: Bytes::from_slice(&[3, 0, 0, 0]) };
    let answer = ask(Identity::None, &mut ScriptedCpu::new([]), &exit);
    assert_eq!(answer, IoResult::End(End::Guest { code: 3 }));
}

#[test]
fn a_string_read_gets_all_its_elements() {
    let exit = Exit::PortRead { port: 0x80, size: 2, count: 50 };
    let answer = ask(Identity::None, &mut ScriptedCpu::new([]), &exit);
    assert_eq!(data(answer).len(), 100);
}

#[test]
fn an_empty_bus_reads_as_ones() {
    let exit = Exit::MmioRead { address: 0xd000_0000, size: 8 };
    let answer = ask(Identity::None, &mut ScriptedCpu::new([]), &exit);
    assert_eq!(data(answer)[..], [0xff; 8]);
}

#[test]
fn what_no_device_answers_is_said() {
    for exit in
        [Exit::Shutdown, Exit::Halt, Exit::InternalError { suberror: 1, instruction: Bytes::new() }]
    {
        let answer = ask(Identity::None, &mut ScriptedCpu::new([]), &exit);
        assert_eq!(answer, IoResult::Unanswered, "{exit:?}");
    }
}

/// The end of a run by a write to this port, behind this text on the console of a Linux guest.
fn ended_by(port: u16, value: u8, said: &str, criteria: Criteria) -> End {
    let guest = GuestImage { name: "test".into(), bytes: b"".into() };
    let config = MachineConfig { criteria, ..MachineConfig::new(guest, CpuCount::new(1).unwrap()) };
    let mut board = Board::new(&config, FREQUENCIES, Box::new(std::io::sink()));
    let mut listening = Listening::new(&config.criteria, true);
    listening.feed(Source::Serial, said.as_bytes());
    board.listening = Some(Arc::new(Mutex::new(listening)));
    let mut wiring = Wiring { clock: &NoClock, controller: &mut NoController };
    let exit = Exit::PortWrite { port, size: 1, data: Bytes::from_slice(&[value]) };
    match board.answer(0, &mut ScriptedCpu::new([]), &exit, &mut wiring).unwrap() {
        IoResult::End(end) => end,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_ends_the_run_as_what_it_is() {
    let (off, reset) = ((0x605, 0x20), (0xcf9, 6));
    let end = |(port, value), said| ended_by(port, value, said, Criteria::default());
    assert_eq!(end(off, ""), End::PowerOff);
    assert_eq!(end(reset, ""), End::Reset);
    let panic = "[    1.0] Kernel panic - not syncing: no init\n";
    assert_eq!(end(reset, panic), End::Panic { message: "no init".into() });
    assert!(end(reset, panic).is_failure() && end(off, "").is_success());
    // A success that the user has defined has not come.
    let ok = vec!["ready".parse().unwrap()];
    let expecting = || Criteria { ok: ok.clone(), ..Criteria::default() };
    assert_eq!(ended_by(off.0, off.1, "", expecting()), End::Met(Met::MISSED));
    assert!(matches!(ended_by(reset.0, reset.1, panic, expecting()), End::Panic { .. }));
}
