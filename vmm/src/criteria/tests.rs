use super::*;

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

fn finds(text: &str, console: &str) -> bool {
    let criteria = Criteria { ok: vec![pattern(text)], ..Criteria::default() };
    let whole = ConsoleMatcher::new(&criteria).feed(console.as_bytes()).is_some();
    let mut matcher = ConsoleMatcher::new(&criteria);
    let bytes = console.as_bytes().chunks(1).any(|byte| matcher.feed(byte).is_some());
    assert_eq!(whole, bytes, "{text} in {console}");
    whole
}

#[test]
fn a_pattern_is_anywhere_in_a_line() {
    for (text, console) in [
        ("all up", "boot\nnow all up."),
        ("login: ", "\nguest login: "),
        ("BUG: * lockup", "[ 1.2] BUG: soft lockup - CPU#1"),
        ("*BUG*", "a BUG"),
        ("aab", "aaab"),
        ("aab", "aab"),
        ("a?b", "xa b"),
        ("a??", "a\u{e9}"),
        ("ab*ba", "abba"),
        (r"2 \* 2 \?", "2 * 2 ?"),
        (r"a\\b", r"a\b"),
        ("x*x", "xx"),
    ] {
        assert!(finds(text, console), "{text} in {console}");
    }
    for (text, console) in [
        ("all up", "all\nup all  up"),
        ("BUG*lockup", "BUG\nlockup"),
        ("ab*ba", "aba"),
        (r"2 \* 2", "2 3 2"),
        ("a?b", "a\nb"),
        ("a?b", "ab"),
        ("ba*ab", "ab ba"),
    ] {
        assert!(!finds(text, console), "{text} in {console}");
    }
}

/// Compares with a simple search, on all short lines of two letters.
#[test]
fn a_matcher_finds_what_a_search_of_the_whole_line_finds() {
    fn contains(pieces: &[&str], line: &str) -> bool {
        let Some((first, rest)) = pieces.split_first() else { return true };
        let at = |at: usize| line.get(at..at + first.len()).is_some_and(|part| part == *first);
        (0..line.len()).any(|start| at(start) && contains(rest, &line[start + first.len()..]))
    }
    for text in ["a", "ab", "aba", "aab*ba", "a*b*a", "bb*a", "abab*b"] {
        let pieces: Vec<_> = text.split('*').collect();
        for number in 0..1_u32 << 10 {
            let line: String =
                (0..10).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'b' }).collect();
            for length in 0..=10 {
                let line = &line[..length];
                assert_eq!(finds(text, line), contains(&pieces, line), "{text} in {line}");
            }
        }
    }
}

#[test]
fn a_pattern_that_says_nothing_is_refused() {
    for (text, problem) in [
        ("", "every line"),
        ("**", "every line"),
        ("a\nb", "within a line"),
        ("a\\", r"single \"),
        (&"x".repeat(129), "129 bytes without a `*`"),
    ] {
        let refused = text.parse::<Pattern>().unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
    assert!(finds(&"x".repeat(128), &"x".repeat(200)));
    assert!(finds(&format!("{}*{}", "x".repeat(128), "y".repeat(3)), &("x".repeat(128) + "yyy")));
}

#[test]
fn failure_goes_before_success() {
    let criteria =
        Criteria { ok: vec![pattern("up")], fail: vec![pattern("n?t up")], ..Criteria::default() };
    let met = ConsoleMatcher::new(&criteria).feed(b"not up").unwrap();
    assert!(met.failed);
    assert_eq!(met.to_string(), "failure: the console has `n?t up`");
    let met = ConsoleMatcher::new(&criteria).feed(b"up, not up").unwrap();
    assert!(!met.failed);
    let place = |symbol: &str, address| Place { symbol: symbol.into(), address };
    let criteria = Criteria {
        ok_at: vec![place("idle", 0x10), place("both", 0x20)],
        fail_at: vec![place("panic", 0x20)],
        ..Criteria::default()
    };
    assert_eq!(criteria.met_at(0x10).unwrap().to_string(), "success: a vCPU has come to idle");
    assert!(criteria.met_at(0x20).unwrap().failed);
    assert_eq!(criteria.met_at(0x30), None);
}

#[test]
fn what_is_expected_makes_quiet_a_hang() {
    let idles = Criteria { may_idle: true, ..Criteria::default() };
    assert!(idles.quiet_passes() && !Criteria::default().quiet_passes());
    assert!(Criteria { fail: vec![pattern("panic")], ..idles.clone() }.quiet_passes());
    assert!(!Criteria { ok: vec![pattern("up")], ..idles }.quiet_passes());
}
