use std::io::{PipeReader, Read, pipe};
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::*;

const OUT: usize = 0;
const ERR: usize = 1;

/// A queue with two pipes, and the pipes' other ends.
fn queue() -> (Queue, [PipeReader; 2]) {
    let (out, to_out) = pipe().unwrap();
    let (err, to_err) = pipe().unwrap();
    let file = |writer| Some(File::from(OwnedFd::from(writer)));
    (Queue::new([file(to_out), file(to_err)]), [out, err])
}

/// Writes a piece, at most `most` bytes of it.
fn write(queue: &mut Queue, ready: impl Fn(usize) -> bool, most: usize) -> Option<usize> {
    let mut chunk = queue.take(ready)?;
    let (stream, most) = (chunk.stream, most.min(chunk.bytes.len()));
    let rest = chunk.bytes.split_off(most);
    let result = chunk.write();
    chunk.bytes.extend(rest);
    queue.written(chunk, result);
    Some(stream)
}

fn read(reader: &mut PipeReader, length: usize) -> String {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_comes_first_is_written_first() {
    let (mut queue, [mut out, mut err]) = queue();
    for (stream, text) in [(OUT, "one "), (OUT, "two "), (ERR, "three "), (OUT, "four ")] {
        queue.push(stream, text.into());
    }
    let order: Vec<_> = std::iter::from_fn(|| write(&mut queue, |_| true, 4096)).collect();
    assert_eq!(order, [OUT, ERR, OUT], "neighbours go together");
    assert_eq!((read(&mut out, 13), read(&mut err, 6)), ("one two four ".into(), "three ".into()));
    assert!(queue.is_empty() && queue.waiting(OUT) == 0 && queue.waiting(ERR) == 0);
}

#[test]
fn who_takes_nothing_is_passed_by_and_loses_nothing() {
    let (mut queue, [mut out, mut err]) = queue();
    queue.push(OUT, "kept ".into());
    queue.push(ERR, "told ".into());
    queue.push(OUT, "back ".into());
    assert_eq!(write(&mut queue, |stream| stream == ERR, 4096), Some(ERR));
    assert_eq!(write(&mut queue, |stream| stream == ERR, 4096), None);
    assert_eq!((queue.waiting(OUT), read(&mut err, 5)), (10, "told ".into()));
    // Writes in small pieces.
    while write(&mut queue, |_| true, 3).is_some() {}
    assert_eq!((queue.waiting(OUT), read(&mut out, 10)), (0, "kept back ".into()));
}

#[test]
fn long_texts_go_in_pieces_that_a_pipe_takes_at_once() {
    let (mut queue, [mut out, _err]) = queue();
    let text = (0..3000).map(|number| format!("{number:04}")).collect::<Vec<_>>().concat();
    queue.push(OUT, text.clone().into());
    queue.push(ERR, "x".into());
    let mut pieces = 0;
    while write(&mut queue, |stream| stream == OUT, usize::MAX).is_some() {
        pieces += 1;
    }
    assert_eq!((pieces, read(&mut out, text.len())), (3, text));
}

#[test]
fn who_has_gone_away_wants_no_more_and_is_no_error() {
    let (mut queue, [out, _err]) = queue();
    drop(out);
    queue.push(OUT, "nobody".into());
    queue.push(OUT, "reads".into());
    while write(&mut queue, |_| true, 4096).is_some() {}
    queue.push(OUT, "this".into());
    assert!(queue.is_empty() && queue.waiting(OUT) == 0);
    assert!(queue.error(OUT).is_none() && queue.lost(OUT) == 0);
}

#[test]
fn an_error_is_kept_and_what_it_cost_is_counted() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut queue = Queue::new([Some(full), None]);
    queue.push(OUT, "some".into());
    queue.push(OUT, "words".into());
    while write(&mut queue, |_| true, 4096).is_some() {}
    let error = queue.error(OUT).unwrap();
    assert_eq!((error.raw_os_error(), queue.lost(OUT)), (Some(28), 9));
    // Output to a stream that never existed is not an error.
    queue.push(ERR, "anything".into());
    assert!(queue.is_empty());
}

#[test]
fn nobody_waits_for_a_full_stream_once_it_is_late() {
    let (mut queue, _readers) = queue();
    queue.push(OUT, vec![0; CAPACITY]);
    assert!(queue.is_full(OUT) && !queue.is_full(ERR));
    let now = Instant::now();
    queue.hurry(now + Duration::from_hours(1));
    assert!(queue.is_full(OUT) && !queue.is_late());
    queue.relax();
    queue.hurry(now);
    queue.hurry(now + Duration::from_hours(1));
    assert!(queue.is_late() && !queue.is_full(OUT), "the first counts");
    queue.push(OUT, "more".into());
    assert_eq!((queue.waiting(OUT), queue.lost(OUT)), (CAPACITY, CAPACITY as u64 + 4));
    queue.relax();
    assert!(queue.is_full(OUT));
}

#[test]
fn a_closed_file_makes_room_for_another() {
    let (mut queue, _readers) = queue();
    let null = || File::options().write(true).open("/dev/null").unwrap();
    let (one, two) = (queue.add(null()), queue.add(null()));
    assert_eq!((one, two), (2, 3));
    queue.push(one, "gone".into());
    queue.close(one);
    assert!(queue.is_empty());
    assert_eq!((queue.add(null()), queue.add(null())), (2, 4));
}

#[test]
fn a_line_is_held_until_it_does_not_go_on() {
    let (mut queue, [mut out, _err]) = queue();
    assert!(queue.hold(OUT, b"a"), "nobody watches yet");
    assert!(!queue.hold(OUT, b" line"), "somebody watches");
    queue.look();
    assert!(queue.is_empty() && queue.is_watched(), "it has just come");
    queue.hold(OUT, b" that");
    queue.look();
    assert!(queue.is_empty() && queue.is_watched(), "it goes on");
    queue.look();
    assert!(!queue.is_watched(), "nothing has come since");
    write(&mut queue, |_| true, 4096);
    assert_eq!(read(&mut out, 11), "a line that");
}

#[test]
fn a_chatty_stream_is_watched_all_the_time() {
    let (mut queue, [mut out, _err]) = queue();
    assert!(queue.hold(OUT, b"one\n"));
    queue.release(OUT);
    queue.look();
    assert!(!queue.hold(OUT, b"two\n"), "the watch goes on after a line");
    queue.release(OUT);
    // A line of the same length as the line before is not taken for that line.
    queue.look();
    queue.hold(OUT, b"thr");
    queue.look();
    assert_eq!((queue.held(OUT), queue.is_watched()), (3, true));
    write(&mut queue, |_| true, 4096);
    assert_eq!(read(&mut out, 8), "one\ntwo\n");
}

#[test]
fn what_is_held_for_nobody_is_dropped() {
    let (mut queue, [out, _err]) = queue();
    drop(out);
    queue.push(OUT, "x".into());
    write(&mut queue, |_| true, 4096);
    queue.hold(OUT, b"y");
    queue.release(OUT);
    assert!(queue.is_empty() && queue.held(OUT) == 0);
}
