use super::*;

fn read_back(answer: &str) -> Vec<Line> {
    let mut from = answer.as_bytes();
    let mut next = || read_answer(&mut from, || panic!("memory never waits")).unwrap();
    std::iter::from_fn(|| Some(next()).filter(|line| *line != Line::End)).collect()
}

#[test]
fn an_answer_is_read_as_it_was_written() {
    let text = |line: &str| Line::Text(line.into());
    let written = answer(Ok("ok\n\n indented\nfailed: no\n".into()));
    let lines = [text("ok\n"), text("\n"), text(" indented\n"), text("failed: no\n"), Line::Done];
    assert_eq!(read_back(&written), lines);
    assert_eq!(read_back(&answer(Ok(String::new()))), [Line::Done]);
    for refusal in [Refusal::Usage("a: b".into()), Refusal::Failed("c".into())] {
        assert_eq!(read_back(&answer(Err(refusal.clone()))), [Line::Refused(refusal)]);
    }
    let written = answer(Err(Refusal::Failed("two\nlines".into())));
    assert_eq!(written, "failed: two lines\n");
}

#[test]
fn what_is_no_answer_is_an_error() {
    let read = |text: &str| read_answer(&mut text.as_bytes(), || {});
    assert_eq!(read("ok").unwrap(), Line::End, "the last line is not whole");
    assert!(read("HTTP/1.1 400\n").is_err());
    assert!(read("\n").is_err());
}

#[test]
fn requests_are_whole_lines() {
    let read = |bytes: &[u8]| read_request(&mut &*bytes).unwrap();
    assert_eq!(read(b"status\nrest"), Request::Line("status".into()));
    assert_eq!(read(b"dump /tmp/a"), Request::End, "the file's name may go on");
    assert_eq!(read(b"\xff\n"), Request::Garbage("a line is not valid UTF-8"));
    let long = vec![b'x'; MAX_REQUEST + 1];
    assert_eq!(read(&long), Request::Garbage("a line is too long"));
    let longest = read(&[&long[1..], b"\n"].concat());
    assert!(matches!(longest, Request::Line(line) if line.len() == MAX_REQUEST));
}

#[test]
fn the_path_of_a_dump_is_made_absolute() {
    let request = |line: &str| request(line, &Command::parse(line).unwrap());
    assert_eq!(request("nmi 1").unwrap(), "nmi 1\n");
    let here = std::env::current_dir().unwrap();
    assert_eq!(request("dump a b").unwrap(), format!("dump {}/a b\n", here.display()));
    assert!(request("dump a\nb").is_err());
}
