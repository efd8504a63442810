use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[derive(Clone, Default)]
struct Counter(Arc<AtomicU32>);

impl Line for Counter {
    fn pulse(&self) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn prints_what_the_guest_sends() {
    let screen = Screen::default();
    let console = Console::new(Counter::default(), screen.clone());
    for byte in b"hello\n" {
        assert_eq!(console.write(0, &[*byte]), Effect::None);
    }
    assert_eq!(*screen.0.lock().unwrap(), b"hello\n");
}

#[test]
fn is_always_ready_to_send() {
    let console = Console::new(Counter::default(), io::sink());
    let mut status = [0];
    console.read(5, &mut status);
    assert_eq!(status[0] & 0x20, 0x20, "LSR.THRE");
}

#[test]
fn input_reaches_the_guest_and_interrupts_it() {
    let line = Counter::default();
    let console = Console::new(line.clone(), io::sink());
    console.write(1, &[1]); // IER: received data available
    assert_eq!(console.send(b"ab").unwrap(), 2);
    assert!(line.0.load(Ordering::Relaxed) > 0);
    let mut byte = [0];
    console.read(0, &mut byte);
    assert_eq!(byte, *b"a");
}

#[test]
fn a_full_fifo_takes_no_more() {
    let console = Console::new(Counter::default(), io::sink());
    let taken = console.send(&[b'x'; 1000]).unwrap();
    assert!(taken < 1000);
    assert_eq!(console.send(b"y").unwrap(), 0);
}

#[test]
fn a_wide_read_sees_one_register() {
    let console = Console::new(Counter::default(), io::sink());
    let mut data = [0; 4];
    console.read(5, &mut data);
    assert_eq!(data[1..], [0xff; 3]);
}

#[test]
fn a_saved_state_comes_back_and_the_screen_stays() {
    let screen = Screen::default();
    let console = Console::new(Counter::default(), screen.clone());
    console.write(7, b"s");
    console.send(b"ab").unwrap();
    let saved = console.save();
    console.write(0, b"x");
    console.write(7, b"t");
    assert_eq!(port(&console, 0), b'a');
    assert_ne!(console.save(), saved);

    console.restore(&saved).unwrap();
    assert_eq!(console.save(), saved);
    assert_eq!([port(&console, 7), port(&console, 0), port(&console, 0)], *b"sab");
    console.write(0, b"y");
    assert_eq!(*screen.0.lock().unwrap(), b"xy");
}

fn port(console: &Console<Counter, Screen>, offset: u16) -> u8 {
    let mut data = [0];
    console.read(offset, &mut data);
    data[0]
}
