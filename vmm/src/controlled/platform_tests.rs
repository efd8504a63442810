use devices::ioapic::IOAPIC_BASE;
use devices::lapic::LAPIC_BASE;
use devices::rtc::{RTC_DATA, RTC_INDEX, RTC_LINE};

use super::*;
use crate::exit::{Bytes, Entry};
use crate::identity::{Frequencies, Identity};
use crate::scripted::ScriptedCpu;

/// The IOAPIC register with the lower half of the entry of the RTC's pin.
const RTC_ENTRY: u32 = 0x10 + 2 * RTC_LINE;
const IOAPIC_NMI: u32 = 4 << 8;
const IOAPIC_INIT: u32 = 5 << 8;
const LAPIC_SVR: u64 = LAPIC_BASE + 0xf0;
const LAPIC_TIMER: u64 = LAPIC_BASE + 0x320;
const LAPIC_INITIAL: u64 = LAPIC_BASE + 0x380;
const LAPIC_DIVIDE: u64 = LAPIC_BASE + 0x3e0;
const BY_1: u32 = 0b1011;
const PERIODIC: u32 = 1 << 17;

fn new(vcpus: u32) -> Platform {
    let board = Board::bare(Identity::None, Frequencies { tsc_khz: 1, bus_khz: 1 });
    Platform::new(vcpus, board.with_timers())
}

/// Answers an exit of vCPU 0; returns the answer and the effects on vCPUs.
fn answer(platform: &mut Platform, exit: &Exit) -> (IoResult, Vec<IpiEffect>) {
    let answer = platform.answer(0, &mut ScriptedCpu::new([]), exit).unwrap();
    (answer, platform.apics.take_effects())
}

fn write(platform: &mut Platform, address: u64, value: u32) -> Vec<IpiEffect> {
    answer(platform, &Exit::MmioWrite { address, data: Bytes::from_slice(&value.to_le_bytes()) }).1
}

fn write_port(platform: &mut Platform, port: u16, value: u8) -> Vec<IpiEffect> {
    answer(platform, &Exit::PortWrite { port, size: 1, data: Bytes::from_slice(&[value]) }).1
}

fn read_port(platform: &mut Platform, port: u16) -> (u8, Vec<IpiEffect>) {
    match answer(platform, &Exit::PortRead { port, size: 1, count: 1 }) {
        (IoResult::Enter(Entry::Data(data)), effects) => (data[0], effects),
        (other, _) => panic!("{other:?}"),
    }
}

/// Two vCPUs; the RTC's pin is routed to vCPU 1, with this lower half of its entry.
fn rtc_to_vcpu_1(entry: u32) -> Platform {
    let mut platform = new(2);
    for (register, value) in [(RTC_ENTRY + 1, 1 << 24), (RTC_ENTRY, entry)] {
        write(&mut platform, IOAPIC_BASE, register);
        assert_eq!(write(&mut platform, IOAPIC_BASE + 0x10, value), []);
    }
    platform
}

/// Writes a register of the RTC.
fn set_rtc(platform: &mut Platform, register: u8, value: u8) -> Vec<IpiEffect> {
    assert_eq!(write_port(platform, RTC_INDEX, register), []);
    write_port(platform, RTC_DATA, value)
}

#[test]
fn an_nmi_that_a_port_write_raises_arrives() {
    const B: u8 = 0x0b;
    const PERIODIC_AND_24_HOURS: u8 = 0x42;
    for (mode, effect) in [(IOAPIC_NMI, IpiEffect::Nmi(1)), (IOAPIC_INIT, IpiEffect::Init(1))] {
        let mut platform = rtc_to_vcpu_1(mode);
        // The flag is set after a millisecond, without effect: its interrupt is not enabled.
        for _ in 0..2000 {
            assert_eq!(platform.tick(), []);
        }
        assert_eq!(set_rtc(&mut platform, B, PERIODIC_AND_24_HOURS), [effect]);
    }
}

#[test]
fn an_nmi_of_the_rtcs_own_arrives() {
    let mut platform = rtc_to_vcpu_1(IOAPIC_NMI);
    assert_eq!(set_rtc(&mut platform, 0x0b, 0x42), []);
    assert_eq!(jump(&mut platform), Some(vec![IpiEffect::Nmi(1)]));
    // The line stays asserted until C is read.
    assert_eq!(jump(&mut platform), None);
    write_port(&mut platform, RTC_INDEX, 0x0c);
    assert_eq!(read_port(&mut platform, RTC_DATA), (0xc0, vec![]));
    assert_eq!(jump(&mut platform), Some(vec![IpiEffect::Nmi(1)]));
}

/// Jumps to the next timer that has an effect.
fn jump(platform: &mut Platform) -> Option<Vec<IpiEffect>> {
    let next = platform.next_deadline()?;
    Some(platform.jump(next))
}

/// vCPU 0's timer with the shortest period.
fn shortest_timer(mode: u32) -> Platform {
    let mut platform = new(1);
    for (register, value) in
        [(LAPIC_SVR, 0x1ff), (LAPIC_DIVIDE, BY_1), (LAPIC_TIMER, mode | 0x40), (LAPIC_INITIAL, 1)]
    {
        assert_eq!(write(&mut platform, register, value), []);
    }
    platform
}

#[test]
fn a_timer_without_a_pause_leaves_the_guest_time() {
    let mut platform = shortest_timer(PERIODIC);
    let mut served = 0;
    for _ in 0..10_000 {
        platform.tick();
        if platform.apics.lapics[0].acknowledge().is_some() {
            write(&mut platform, LAPIC_BASE + 0xb0, 0);
            served += 1;
        }
    }
    assert_eq!(served, 50, "10 ms, 200 us a period");
}

#[test]
fn timers_that_nobody_takes_come_to_an_end() {
    for mode in [0, PERIODIC] {
        let mut platform = shortest_timer(mode);
        assert_eq!(jump(&mut platform), Some(vec![]));
        assert_eq!(platform.apics.lapics[0].pending(), Some(0x40));
        // It would only request what is already pending: there is no time to jump to.
        assert_eq!(jump(&mut platform), None);
    }
}

#[test]
fn a_timer_that_changes_nothing_hides_no_other() {
    let mut platform = shortest_timer(PERIODIC);
    assert_eq!(jump(&mut platform), Some(vec![]));
    assert_eq!(set_rtc(&mut platform, 0x0b, 0x12), []); // each second
    write(&mut platform, IOAPIC_BASE, RTC_ENTRY);
    write(&mut platform, IOAPIC_BASE + 0x10, 0x50);
    assert_eq!(jump(&mut platform), Some(vec![]));
    assert!(platform.now() >= 1_000_000_000, "{}", platform.now());
    assert_eq!(platform.apics.lapics[0].pending(), Some(0x50));
}
