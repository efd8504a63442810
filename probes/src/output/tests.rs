use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use inspect::Symbols;

use super::*;
use crate::testing::tsc_sync_symbols;

fn capture(symbols: Option<Arc<Symbols>>) -> (Output, Receiver<OutputLine>) {
    let (sender, lines) = channel();
    let callback = move |line| drop(sender.send(line));
    let inspector = symbols.map(|symbols| Arc::new(Some(symbols).into()));
    (Output::to_callback(callback, inspector).expect("a thread"), lines)
}

fn texts(lines: Receiver<OutputLine>) -> Vec<String> {
    lines.into_iter().map(|line| line.text().into_owned()).collect()
}

#[test]
fn lines_of_many_vcpus_stay_whole_and_none_is_lost() {
    let (output, lines) = capture(None);
    thread::scope(|scope| {
        for vcpu in 0..8 {
            let mut buffer = LineBuffer::new(vcpu, output.sink());
            scope.spawn(move || {
                for number in 0..2000 {
                    assert!(buffer.print(format!("vcpu {vcpu} ").as_bytes()));
                    assert!(buffer.print(format!("line {number}\nthen ").as_bytes()));
                }
            });
        }
    });
    output.finish().expect("no errors");
    let mut next = [0; 8];
    let mut last = 0;
    for line in lines {
        let vcpu = line.vcpu as usize;
        let text = line.text().into_owned();
        if text == "then " {
            last += 1;
            continue;
        }
        let then = if next[vcpu] == 0 { "" } else { "then " };
        assert_eq!(text, format!("{then}vcpu {vcpu} line {}", next[vcpu]));
        next[vcpu] += 1;
    }
    assert_eq!((next, last), ([2000; 8], 8));
}

#[test]
fn a_slow_writer_holds_the_vcpus_up_instead_of_losing_lines() {
    let (sender, lines) = channel();
    let (go, wait) = channel::<()>();
    let callback = move |line| {
        // Returns as soon as the test drops its end.
        let _ = wait.recv();
        let _ = sender.send(line);
    };
    let output = Output::to_callback(callback, None).expect("a thread");
    let sink = output.sink();
    let printer = thread::spawn(move || {
        let mut buffer = LineBuffer::new(0, sink);
        (0..3 * CAPACITY).all(|number| buffer.print(format!("{number}\n").as_bytes()))
    });
    thread::sleep(Duration::from_millis(50));
    assert!(!printer.is_finished());
    drop(go);
    assert!(printer.join().expect("no panic"));
    output.finish().expect("no errors");
    assert_eq!(texts(lines).len(), 3 * CAPACITY);
}

#[test]
fn a_line_is_exactly_what_was_printed() {
    let (output, lines) = capture(None);
    let mut buffer = LineBuffer::new(3, output.sink());
    buffer.print(b"\xff\x00 a\t\n\n");
    buffer.notice("note".into());
    buffer.print(b"end");
    drop(buffer);
    output.finish().expect("no errors");
    let line = |kind, bytes: &[u8]| OutputLine { vcpu: 3, kind, bytes: bytes.into() };
    assert_eq!(
        lines.into_iter().collect::<Vec<_>>(),
        [
            line(LineKind::Script, b"\xff\x00 a\t"),
            line(LineKind::Script, b""),
            line(LineKind::Notice, b"note"),
            line(LineKind::Script, b"end"),
        ]
    );
}

#[test]
fn a_line_without_end_is_cut() {
    let (output, lines) = capture(None);
    let mut buffer = LineBuffer::new(0, output.sink());
    for _ in 0..=(LineBuffer::MAX_LINE / 1000) {
        buffer.print(&[b'x'; 1000]);
    }
    drop(buffer);
    output.finish().expect("no errors");
    assert_eq!(texts(lines).len(), 1);
}

/// A stream whose content can be read, or that fails.
#[derive(Clone, Default)]
struct Stream {
    written: Arc<std::sync::Mutex<Vec<u8>>>,
    broken: bool,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn streams_get_lines_with_newlines_and_notices_go_elsewhere() {
    let (out, notices) = (Stream::default(), Stream::default());
    let inspector = Some(Arc::new(Some(tsc_sync_symbols()).into()));
    let output = Output::to_streams(Box::new(out.clone()), Box::new(notices.clone()), inspector);
    let output = output.expect("a thread");
    let mut buffer = LineBuffer::new(0, output.sink());
    buffer
        .print(b"Stack: GUEST_0xfffffffffb85400d_0xfffffffffb854034_0xfffffffffb854049_0x5_...\n");
    buffer.print(b"GUEST_ nothing GUEST_0xzz\n");
    buffer.notice("attention".into());
    drop(buffer);
    output.finish().expect("no errors");
    let text = |stream: &Stream| {
        String::from_utf8(stream.written.lock().expect("no panic").clone()).expect("UTF-8")
    };
    assert_eq!(
        text(&out),
        "Stack: GUEST_0xfffffffffb85400d_0xfffffffffb854034_0xfffffffffb854049_0x5_...\n    \
         tsc_sync_master+0xd (tsc_sync.c:16) < mp_start_cpu_common+0x9 (tsc_sync.c:24) < \
         mp_start+0xa (start.S:6) < 0x5 < ...\nGUEST_ nothing GUEST_0xzz\n"
    );
    assert_eq!(text(&notices), "attention\n");
}

#[test]
fn an_output_error_ends_printing_and_is_told_at_the_end() {
    let broken = Stream { broken: true, ..Stream::default() };
    let output = Output::to_streams(Box::new(broken), Box::new(io::sink()), None);
    let output = output.expect("a thread");
    let mut buffer = LineBuffer::new(0, output.sink());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while buffer.print(b"x\n") {
        assert!(std::time::Instant::now() < deadline);
    }
    let error = output.finish().expect_err("the disk is full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(!buffer.print(b"later\n"));
}

#[test]
fn a_callback_that_panics_is_told_at_the_end() {
    let output = Output::to_callback(|_| panic!("as the test wants it"), None).expect("a thread");
    let sink = output.sink();
    sink.send(OutputLine { vcpu: 0, kind: LineKind::Script, bytes: Vec::new() });
    assert!(output.finish().is_err());
    assert!(!sink.send(OutputLine { vcpu: 0, kind: LineKind::Script, bytes: Vec::new() }));
}

#[test]
fn stacks_in_a_block_are_named_in_place_and_nothing_comes_between_its_lines() {
    let symbols = crate::testing::tsc_sync_symbols();
    let main = symbols.address("tsc_sync_master").expect("a symbol");
    let (sender, lines) = std::sync::mpsc::channel();
    let inspector = Arc::new(Some(symbols).into());
    let output = Output::to_callback(move |line| drop(sender.send(line)), Some(inspector));
    let output = output.expect("a thread");
    let line = |text: String| OutputLine { vcpu: 0, kind: LineKind::Script, bytes: text.into() };
    let stack = format!("GUEST_{main:#x}_0x5");
    assert!(output.sink().send_block(vec![
        line("aggr: hot".into()),
        line(format!("  hot[0x1,{stack}] == count 1, {stack}")),
    ]));
    output.finish().expect("written");
    let lines: Vec<String> = lines.iter().map(|line| line.text().into_owned()).collect();
    assert_eq!(lines.len(), 2);
    let start = "  hot[0x1,tsc_sync_master+0x0 (tsc_sync.c:";
    assert!(lines[1].starts_with(start), "{}", lines[1]);
    assert!(lines[1].ends_with(") < 0x5"), "{}", lines[1]);
    assert!(lines[1].contains(" < 0x5] == count 1, tsc_sync_master+0x0"), "{}", lines[1]);
}
