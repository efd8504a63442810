use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::super::testing::*;
use super::*;
use crate::device::Device as _;
use crate::testing::{Screen, wired};

struct Line {
    driver: Driver<Console<Screen>>,
    printed: Screen,
    woken: Arc<AtomicU32>,
}

/// The features without those for interrupts.
const ALL: u64 = !(1 << 29);

/// A console whose driver uses this queue, and no messages about ports.
fn line(queue: usize) -> Line {
    let mut line = with_features(ALL & !(1 << MULTIPORT));
    line.driver.on(queue);
    line
}

fn with_features(features: u64) -> Line {
    let (printed, woken) = (Screen::default(), Arc::new(AtomicU32::new(0)));
    let count = woken.clone();
    let wake = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let console = Console::new(printed.clone(), wake);
    Line { driver: Driver::ready_with_all(console, features), printed, woken }
}

impl Line {
    fn text(&self) -> String {
        String::from_utf8(self.printed.0.lock().unwrap().clone()).unwrap()
    }

    fn woken(&self) -> u32 {
        self.woken.load(Ordering::Relaxed)
    }

    fn go_on(&mut self) {
        wired(&mut self.driver.lines, |wiring| self.driver.device.go_on(wiring));
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        wired(&mut self.driver.lines, |wiring| self.driver.device.send(bytes, wiring))
    }
}

#[test]
fn output_is_printed_in_order() {
    let mut line = line(TRANSMIT);
    line.driver.put(BUFFERS, b"hello world");
    line.driver.chain(0, &[(BUFFERS, 5, 0), (BUFFERS + 5, 1, 0)]);
    line.driver.chain(2, &[(BUFFERS + 6, 5, 0)]);
    line.driver.offer(0);
    line.driver.offer(2);
    line.driver.notify();
    assert_eq!(line.text(), "hello world");
    assert_eq!((line.driver.used(), line.driver.last_used()), (2, (2, 0)));
    assert_eq!((line.driver.pulses(), line.woken()), (1, 0));
}

#[test]
fn a_long_request_is_printed_in_calls_with_a_bound() {
    let mut line = line(TRANSMIT);
    let most = CHUNK as u32 * u32::from(MOST_PARTS);
    line.driver.put(BUFFERS, &vec![b'x'; most as usize + 1]);
    // As long as three calls, and a byte.
    let piece = (BUFFERS, CHUNK as u32, 0);
    line.driver.chain(0, &[(BUFFERS, most, 0), (BUFFERS, most, 0), (BUFFERS, most + 1, 0)]);
    line.driver.chain(3, &[piece]);
    line.driver.offer(0);
    line.driver.offer(3);
    line.driver.notify();
    for call in 1..=3 {
        assert_eq!((line.woken(), line.driver.used()), (call, 0));
        assert_eq!(line.text().len() as u32, call * most);
        line.go_on();
    }
    assert_eq!((line.woken(), line.driver.used()), (3, 2));
    assert_eq!(line.text().len() as u32, 3 * most + 1 + CHUNK as u32);
}

#[test]
fn output_outside_memory_needs_a_reset() {
    let mut line = line(TRANSMIT);
    line.driver.chain(0, &[(MEMORY, 8, 0)]);
    line.driver.offer(0);
    line.driver.notify();
    assert_eq!((line.driver.status(), line.driver.used()), (0x4f, 0));
}

#[test]
fn input_fills_the_buffers_that_the_driver_provides() {
    let mut line = line(RECEIVE);
    assert_eq!(line.send(b"early"), 0);
    line.driver.chain(0, &[(BUFFERS, 2, WRITE), (BUFFERS + 0x100, 1, WRITE)]);
    line.driver.chain(2, &[(BUFFERS + 0x200, 8, WRITE)]);
    line.driver.offer(0);
    line.driver.offer(2);
    line.driver.notify();
    assert_eq!(line.send(b"input"), 5);
    assert_eq!(line.driver.bytes(BUFFERS, 3), *b"in\0");
    assert_eq!(line.driver.bytes(BUFFERS + 0x100, 1), *b"p");
    assert_eq!(line.driver.bytes(BUFFERS + 0x200, 3), *b"ut\0");
    assert_eq!((line.driver.used(), line.driver.last_used()), (2, (2, 2)));
    assert_eq!((line.driver.pulses(), line.send(b"more")), (1, 0));
}

#[test]
fn a_buffer_for_input_that_can_not_be_written_needs_a_reset() {
    for buffer in [(BUFFERS, 8, 0), (MEMORY, 8, WRITE)] {
        let mut line = line(RECEIVE);
        line.driver.chain(0, &[buffer]);
        line.driver.offer(0);
        assert_eq!(line.send(b"input"), 0);
        assert_eq!((line.driver.status(), line.driver.used()), (0x4f, 0));
    }
}

#[test]
fn it_takes_input_while_its_driver_works() {
    let mut line = line(RECEIVE);
    assert!(line.driver.device.takes_input() && !line.driver.device.is_used());
    line.driver.notify();
    line.driver.set_status(0);
    assert!(!line.driver.device.takes_input() && line.driver.device.is_used());
}

#[test]
fn a_restored_state_goes_on_with_the_output_under_way() {
    let mut line = line(TRANSMIT);
    let most = CHUNK as u32 * u32::from(MOST_PARTS);
    line.driver.put(BUFFERS, &vec![b'x'; most as usize]);
    line.driver.chain(0, &[(BUFFERS, most, 0), (BUFFERS, 3, 0)]);
    line.driver.offer(0);
    line.driver.notify();
    let saved = line.driver.device.save();
    line.driver.set_status(0);
    line.driver.device.restore(&saved).unwrap();
    assert_eq!(line.woken(), 2);
    line.go_on();
    assert_eq!((line.driver.used(), line.text().len() as u32), (1, most + 3));
}

/// Lets the driver send a message about a port: its number, the event, the value.
fn tell(line: &mut Line, port: u32, event: u16, value: u16) {
    let bytes = [&port.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat();
    line.driver.put(BUFFERS, &bytes);
    line.driver.on(control::FROM_DRIVER).chain(0, &[(BUFFERS, 8, 0)]);
    line.driver.offer(0);
    line.driver.notify();
}

#[test]
fn input_waits_until_the_driver_has_opened_the_port() {
    const TOLD: u64 = BUFFERS + 0x1000;
    let mut line = with_features(ALL);
    line.driver.on(RECEIVE).chain(0, &[(BUFFERS + 0x100, 8, WRITE)]);
    line.driver.offer(0);
    line.driver.notify();
    assert_eq!(line.send(b"early"), 0);
    // The first message has a buffer, the others wait for theirs.
    line.driver.on(control::TO_DRIVER).chain(0, &[(TOLD, 8, WRITE)]);
    line.driver.offer(0);
    tell(&mut line, 0, 0, 1);
    assert_eq!(line.driver.bytes(TOLD, 8), [0, 0, 0, 0, 1, 0, 1, 0]);
    tell(&mut line, 0, 3, 1);
    tell(&mut line, 0, 3, 1);
    line.driver.on(control::TO_DRIVER);
    assert_eq!((line.driver.used(), line.driver.last_used()), (1, (0, 8)));
    for (buffer, event) in [(1, 4), (2, 6)] {
        let at = TOLD + 16 * u64::from(buffer);
        line.driver.chain(buffer, &[(at, 8, WRITE)]);
        line.driver.offer(buffer);
        line.driver.notify();
        assert_eq!(line.driver.bytes(at, 8), [0, 0, 0, 0, event, 0, 1, 0]);
    }
    assert!(!line.driver.device.takes_input());
    tell(&mut line, 1, 6, 1);
    assert!(!line.driver.device.takes_input(), "another port");
    tell(&mut line, 0, 6, 1);
    assert_eq!((line.driver.device.takes_input(), line.send(b"input")), (true, 5));
    let saved = line.driver.device.save();
    tell(&mut line, 0, 6, 0);
    assert!(!line.driver.device.takes_input());
    line.driver.device.restore(&saved).unwrap();
    assert!(line.driver.device.takes_input());
    line.driver.set_status(0);
    line.driver.device.restore(&saved).unwrap();
    assert!(line.driver.device.takes_input());
}

#[test]
fn a_message_that_is_too_short_needs_a_reset() {
    let mut line = with_features(ALL);
    line.driver.on(control::FROM_DRIVER).chain(0, &[(BUFFERS, 7, 0)]);
    line.driver.offer(0);
    line.driver.notify();
    assert_eq!(line.driver.status(), 0x4f);
}

proptest! {
    /// Output arrives whole and in order, however it is divided.
    #[test]
    fn any_division_prints_the_same(parts in prop::collection::vec(0u32..6000, 1..8)) {
        let mut line = line(TRANSMIT);
        let mut text = String::new();
        let mut at = BUFFERS;
        for (number, length) in (0..).zip(&parts) {
            let part = char::from(b'a' + number as u8).to_string().repeat(*length as usize);
            line.driver.put(at, part.as_bytes());
            line.driver.chain(number, &[(at, *length, 0)]);
            line.driver.offer(number);
            at += u64::from(*length);
            text += &part;
        }
        line.driver.notify();
        prop_assert_eq!(line.text(), text);
        prop_assert_eq!(usize::from(line.driver.used()), parts.len());
    }
}
