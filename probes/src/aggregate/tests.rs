use super::*;

fn empty(shape: Shape, limits: Limits) -> Aggregate {
    Aggregate::new(shape, limits, Room::new(limits))
}

fn shape(integers: usize, strings: usize, kind: Kind) -> Shape {
    Shape { name: "pf".into(), integers, strings, stack: None, kind }
}

fn text(aggregate: &Aggregate) -> String {
    let lines = aggregate.lines();
    let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
    lines.join("\n")
}

fn integer(value: u64) -> Key {
    let mut key = Key::default();
    key.integer(value);
    key
}

#[track_caller]
fn add(part: &Part, key: &Key, value: u64, stamp: u64) -> bool {
    lock(part).add(key.bytes(), value, stamp)
}

#[test]
fn the_format_of_the_manual() {
    let aggregate = empty(shape(1, 0, Kind::Classic), Limits::default());
    add(&aggregate.part(), &integer(0xffff_f980_0bf8_e000), 1, 0);
    assert_eq!(
        text(&aggregate),
        "aggr: pf (1 integer key) (0 string keys)\n  pf[0xfffff9800bf8e000] == avg 1 count 1 min 1 \
         max 1 latest 1"
    );
    let mut shape = shape(0, 1, Kind::Classic);
    shape.name = "latencies".into();
    let aggregate = empty(shape, Limits::default());
    let mut key = Key::default();
    key.string(b"uSec");
    add(&aggregate.part(), &key, 26, 0);
    assert_eq!(
        text(&aggregate),
        "aggr: latencies (0 integer keys) (1 string key)\n  latencies[\"uSec\"] == avg 26 count 1 \
         min 26 max 26 latest 26"
    );
}

#[test]
fn several_keys_stand_with_commas_integers_first() {
    let mut shape = shape(2, 2, Kind::Count);
    shape.stack = Some(8);
    let aggregate = empty(shape, Limits::default());
    let mut key = integer(1);
    key.integer(2);
    key.string(b"a,\"b");
    key.string(b"");
    key.stack(&[0x10, 0x20]);
    add(&aggregate.part(), &key, 1, 0);
    assert_eq!(
        text(&aggregate),
        "aggr: pf (2 integer keys) (2 string keys) (1 stack key)\n  \
         pf[0x1,0x2,\"a,\\\"b\",\"\",GUEST_0x10_0x20] == count 1"
    );
}

#[test]
fn vcpus_are_added_up_and_the_latest_is_the_latest_of_all() {
    let aggregate = empty(shape(1, 0, Kind::Classic), Limits::default());
    let (one, two) = (aggregate.part(), aggregate.part());
    add(&one, &integer(7), 10, 1);
    add(&two, &integer(7), 30, 3);
    add(&one, &integer(7), 20, 2);
    assert_eq!(
        text(&aggregate).lines().last(),
        Some("  pf[0x7] == avg 20 count 3 min 10 max 30 latest 30")
    );
    let cell = aggregate.cell(integer(7).bytes()).expect("a cell");
    for (reading, expected) in [
        (Reading::Count, 3),
        (Reading::Sum, 60),
        (Reading::Average, 20),
        (Reading::Minimum, 10),
        (Reading::Maximum, 30),
        (Reading::Latest, 30),
    ] {
        assert_eq!(cell.reading(reading), expected);
    }
    aggregate.clear();
    assert_eq!(text(&aggregate).lines().count(), 1);
}

#[test]
fn the_busiest_key_comes_last() {
    let aggregate = empty(shape(1, 0, Kind::Count), Limits::default());
    let part = aggregate.part();
    for (key, times) in [(3, 2), (1, 5), (2, 2)] {
        (0..times).for_each(|_| assert!(add(&part, &integer(key), 1, 0)));
    }
    let text = text(&aggregate);
    let rows: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(rows, ["  pf[0x2] == count 2", "  pf[0x3] == count 2", "  pf[0x1] == count 5"]);
}

#[test]
fn every_kind_prints_its_figures() {
    for (kind, expected) in [
        (Kind::Count, "count 4"),
        (Kind::Sum, "sum 20"),
        (Kind::Average, "avg 5 count 4"),
        (Kind::Minimum, "min 2"),
        (Kind::Maximum, "max 9"),
        // Of 2, 4, 5, 9: the mean is 5, the squared distances 9 + 1 + 0 + 16 = 26, 26 / 4 = 6.5.
        (Kind::Deviation, "avg 5 stddev 3 count 4"),
    ] {
        let aggregate = empty(shape(0, 0, kind), Limits::default());
        let (one, two) = (aggregate.part(), aggregate.part());
        for (part, value) in [(&one, 2), (&two, 4), (&one, 5), (&two, 9)] {
            add(part, &Key::default(), value, 0);
        }
        assert_eq!(text(&aggregate).lines().last(), Some(&*format!("  pf[] == {expected}")));
    }
}

#[test]
fn histograms_are_bars() {
    let aggregate = empty(shape(0, 0, Kind::Histogram), Limits::default());
    let part = aggregate.part();
    for value in [0, 1, 2, 3, 3, 3, 9] {
        add(&part, &Key::default(), value, 0);
    }
    let text = text(&aggregate);
    assert_eq!(
        text,
        "aggr: pf (0 integer keys) (0 string keys)\n  \
           pf[] == avg 3 count 7 min 0 max 9\n    \
             [0]              1 |@@@@@@@@@@                              |\n    \
             [1]              1 |@@@@@@@@@@                              |\n    \
             [2, 4)           4 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n    \
             [4, 8)           0 |                                        |\n    \
             [8, 16)          1 |@@@@@@@@@@                              |"
    );
    add(&part, &Key::default(), u64::MAX, 0);
    let cell = aggregate.cell(&[]).expect("a cell");
    assert_eq!(cell.buckets().last(), Some(&("[9223372036854775808, ...)".to_owned(), 1)));
}

#[test]
fn linear_histograms_have_ends() {
    let linear = Linear { low: 10, high: 35, step: 10 };
    let aggregate = empty(shape(0, 0, Kind::Linear(linear)), Limits::default());
    let part = aggregate.part();
    for value in [9, 10, 19, 20, 34, 35, 1000] {
        add(&part, &Key::default(), value, 0);
    }
    let cell = aggregate.cell(&[]).expect("a cell");
    let expected =
        [("(..., 10)", 1), ("[10, 20)", 2), ("[20, 30)", 1), ("[30, 35)", 1), ("[35, ...)", 2)];
    let expected: Vec<_> = expected.map(|(name, count)| (name.to_owned(), count)).into();
    assert_eq!(cell.buckets(), expected);
}

#[test]
fn a_full_table_drops_new_keys_and_counts_them() {
    let limits = Limits { keys: 2, bytes: 1 << 20, ..Limits::default() };
    let aggregate = empty(shape(1, 0, Kind::Classic), limits);
    let part = aggregate.part();
    let added: Vec<_> = [1, 2, 3, 1, 4].map(|key| add(&part, &integer(key), 1, 0)).into();
    assert_eq!(added, [true, true, false, true, false]);
    assert_eq!(aggregate.dropped(), 2);

    let limits = Limits { keys: 1000, bytes: 2000, ..Limits::default() };
    let aggregate = empty(shape(1, 0, Kind::Histogram), limits);
    let part = aggregate.part();
    let added = (0..1000).filter(|key| add(&part, &integer(*key), 1, 0)).count();
    assert!(added < 4, "{added}");
}

#[test]
fn news_are_what_was_added_since_it_was_printed() {
    let aggregate = empty(shape(1, 0, Kind::Classic), Limits::default());
    let part = aggregate.part();
    assert!(!aggregate.has_news());
    add(&part, &integer(1), 1, 0);
    assert!(aggregate.has_news());
    aggregate.lines();
    assert!(!aggregate.has_news());
    add(&part, &integer(1), 1, 0);
    aggregate.clear();
    assert!(!aggregate.has_news());
}

#[test]
fn all_aggregates_of_all_vcpus_share_their_room() {
    let limits = Limits { total: 1000, ..Limits::default() };
    let room = Room::new(limits);
    let [a, b] = [(); 2].map(|()| Aggregate::new(shape(1, 0, Kind::Count), limits, room.clone()));
    let parts = [a.part(), a.part(), b.part()];
    let mut taken = 0;
    for value in 0..100 {
        taken += parts.iter().filter(|part| add(part, &integer(value), 1, 0)).count();
    }
    assert!((3..=1000 / size_of::<Cell>()).contains(&taken), "{taken}");
    assert_eq!(a.dropped() + b.dropped(), 300 - taken as u64);
    // Clearing makes space for other keys.
    a.clear();
    assert!(add(&parts[2], &integer(1000), 1, 0));
}
