use super::*;
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
    assert_eq!(answer, IoResult::End(3));
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
