use std::sync::Arc;

use super::*;
use crate::aggregate::{Key, Limits, Room, Shape, lock};
use crate::testing::tsc_sync_symbols;

fn aggregate(kind: Kind, integers: usize, strings: usize) -> Aggregate {
    let shape = Shape { name: "hot".into(), integers, strings, stack: Some(64), kind };
    let limits = Limits::default();
    Aggregate::new(shape, limits, Room::new(limits))
}

fn key(integers: &[u64], strings: &[&str], stack: &[u64]) -> Key {
    let mut key = Key::default();
    for integer in integers {
        key.integer(*integer);
    }
    for string in strings {
        key.string(string.as_bytes());
    }
    key.stack(stack);
    key
}

fn text(folded: &Folded) -> String {
    let mut bytes = Vec::new();
    folded.write(&mut bytes).expect("memory");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn places_in_one_function_are_one_frame_and_the_outermost_comes_first() {
    let symbols = tsc_sync_symbols();
    let inspector = Inspector::from(Some(Arc::clone(&symbols)));
    let at = |name: &str| symbols.address(name).expect("a function");
    let (sync, caller) = (at("tsc_sync_master"), at("mp_start_cpu_common"));
    let hot = aggregate(Kind::Count, 0, 0);
    let (one, other) = (hot.part(), hot.part());
    lock(&one).add(key(&[], &[], &[sync, caller + 1]).bytes(), 1, 0);
    lock(&other).add(key(&[], &[], &[sync + 2, caller + 4]).bytes(), 1, 0);
    lock(&other).add(key(&[], &[], &[0x10, 0x20]).bytes(), 1, 0);
    let mut folded = Folded::default();
    folded.add(&hot, None, Some(&inspector));
    assert_eq!(text(&folded), "0x20;0x10 1\nmp_start_cpu_common;tsc_sync_master 2\n");
    // The counts of another machine are added.
    folded.add(&hot, None, Some(&inspector));
    assert!(text(&folded).ends_with(" 4\n"), "{}", text(&folded));
}

#[test]
fn other_keys_are_outside_of_the_stack_and_separators_in_them_are_replaced() {
    let hot = aggregate(Kind::Sum, 1, 1);
    lock(&hot.part()).add(key(&[3], &["a;b\nc d"], &[0x10]).bytes(), 70, 0);
    lock(&hot.part()).add(key(&[3], &[""], &[0x10]).bytes(), 0, 0);
    lock(&hot.part()).add(key(&[3], &[""], &[0x20]).bytes(), 5, 0);
    let mut folded = Folded::default();
    folded.add(&hot, None, None);
    folded.add(&hot, Some("hot"), None);
    assert_eq!(
        text(&folded),
        "0x3;?;0x20 5\n0x3;a:b c d;0x10 70\nhot;0x3;?;0x20 5\nhot;0x3;a:b c d;0x10 70\n"
    );
}

#[test]
fn what_is_not_summed_is_counted() {
    for kind in [Kind::Classic, Kind::Count, Kind::Average, Kind::Maximum, Kind::Histogram] {
        let hot = aggregate(kind, 0, 0);
        let part = hot.part();
        for value in 0..3 {
            lock(&part).add(key(&[], &[], &[1]).bytes(), value, 0);
        }
        let mut folded = Folded::default();
        assert!(folded.is_empty());
        folded.add(&hot, None, None);
        assert_eq!(text(&folded), "0x1 3\n", "{kind:?}");
    }
}
