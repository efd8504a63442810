use super::*;
use crate::testing::{Lines, Screen, wired};

/// A console and its interrupt lines.
struct Port<W: Write + Send + 'static> {
    console: Console<W>,
    lines: Lines,
}

impl<W: Write + Send + 'static> Port<W> {
    fn new(out: W) -> Self {
        Self { console: Console::new(out), lines: Lines::default() }
    }

    fn read(&mut self, register: u16, data: &mut [u8]) {
        let at = Address::Port(COM1 + register);
        wired(&mut self.lines, |wiring| self.console.read(at, data, wiring));
    }

    fn byte(&mut self, register: u16) -> u8 {
        let mut data = [0];
        self.read(register, &mut data);
        data[0]
    }

    fn write(&mut self, register: u16, value: u8) {
        let at = Address::Port(COM1 + register);
        let effect = wired(&mut self.lines, |wiring| self.console.write(at, &[value], wiring));
        assert_eq!(effect, Effect::None);
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        wired(&mut self.lines, |wiring| self.console.send(bytes, wiring)).unwrap()
    }
}

#[test]
fn prints_what_the_guest_sends() {
    let screen = Screen::default();
    let mut port = Port::new(screen.clone());
    for byte in *b"hello\n" {
        port.write(0, byte);
    }
    assert_eq!(*screen.0.lock().unwrap(), b"hello\n");
    assert_eq!(port.lines, Lines::default(), "no interrupt was enabled");
}

#[test]
fn is_always_ready_to_send() {
    assert_eq!(Port::new(io::sink()).byte(5) & 0x20, 0x20, "LSR.THRE");
}

#[test]
fn input_reaches_the_guest_and_interrupts_it() {
    let mut port = Port::new(io::sink());
    assert!(!port.console.interrupts_on_input());
    port.write(1, 1); // IER: received data available
    assert!(port.console.interrupts_on_input());
    assert_eq!(port.send(b"ab"), 2);
    assert_eq!(port.lines.set, [(COM1_IRQ, true), (COM1_IRQ, false)]);
    assert_eq!(port.byte(0), b'a');
}

#[test]
fn a_full_fifo_takes_no_more() {
    let mut port = Port::new(io::sink());
    assert!(port.send(&[b'x'; 1000]) < 1000);
    assert_eq!(port.send(b"y"), 0);
}

#[test]
fn a_wide_read_sees_one_register() {
    let mut data = [0; 4];
    Port::new(io::sink()).read(5, &mut data);
    assert_eq!(data[1..], [0xff; 3]);
}

#[test]
fn a_saved_state_comes_back_and_the_screen_stays() {
    let screen = Screen::default();
    let mut port = Port::new(screen.clone());
    port.write(7, b's');
    port.send(b"ab");
    let saved = port.console.save();
    port.write(0, b'x');
    port.write(7, b't');
    assert_eq!(port.byte(0), b'a');

    port.console.restore(&saved).unwrap();
    assert_eq!([port.byte(7), port.byte(0), port.byte(0)], *b"sab");
    port.write(0, b'y');
    assert_eq!(*screen.0.lock().unwrap(), b"xy");
    assert_eq!(port.console.restore(&State::new(0)), Err(ForeignState));
}

#[test]
fn a_restored_interrupt_is_not_raised_again() {
    let mut port = Port::new(io::sink());
    port.write(1, 1);
    port.send(b"a");
    let saved = port.console.save();
    port.console.reset();
    port.lines = Lines::default();
    port.console.restore(&saved).unwrap();
    assert_eq!(port.byte(5) & 1, 1, "LSR.DR: the byte is there");
    assert_eq!(port.lines, Lines::default());
}

#[test]
fn a_reset_console_is_as_new() {
    let mut port = Port::new(io::sink());
    port.write(7, b's');
    port.write(1, 1);
    port.send(b"ab");
    port.console.reset();
    assert_eq!([port.byte(7), port.byte(1), port.byte(5) & 1], [0, 0, 0]);
}
