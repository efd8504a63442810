use super::wrap;

#[test]
fn lines_break_at_blanks_and_in_schedules() {
    assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    assert_eq!(wrap("0@12>1@3>2!>0@4", 9), ["0@12>1@3>", "2!>0@4"]);
    assert_eq!(wrap("", 9), [""]);
    // A word is never broken.
    assert_eq!(wrap("a muchtoolongword b", 6), ["a", "muchtoolongword", "b"]);
    assert_eq!(wrap("▁▂▃ four", 4), ["▁▂▃", "four"]);
}
