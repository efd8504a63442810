use super::*;

fn range() -> Range {
    Range::new(Duration::from_micros(10), Duration::from_millis(10)).unwrap()
}

#[test]
fn the_same_seed_draws_the_same() {
    let draw = |seed, stream| -> Vec<Duration> {
        let mut draw = Draw::new(seed, stream);
        (0..10).map(|_| draw.time(range())).collect()
    };
    assert_eq!(draw(1, 0), draw(1, 0));
    assert_ne!(draw(1, 0), draw(2, 0));
    assert_ne!(draw(1, 0), draw(1, 1));
}

#[test]
fn times_are_log_uniform() {
    let mut draw = Draw::new(7, 0);
    let mut decades = [0; 3];
    for _ in 0..30_000 {
        let time = draw.time(range()).as_micros();
        assert!((10..=10_000).contains(&time), "{time}");
        decades[(time as f64 / 10.0).log10().clamp(0.0, 2.99) as usize] += 1;
    }
    for count in decades {
        assert!((9_500..10_500).contains(&count), "{decades:?}");
    }
}

#[test]
fn chances_come_true_as_often_as_they_should() {
    let mut draw = Draw::new(7, 1);
    let hits = (0..10_000).filter(|_| draw.chance(0.25)).count();
    assert!((2_300..2_700).contains(&hits), "{hits}");
    assert!((0..1000).all(|_| !draw.chance(0.0) && draw.chance(1.0) && draw.below(6) < 6));
}

#[test]
fn a_number_of_an_interval_is_in_it_and_any_of_them() {
    let mut draw = Draw::new(7, 0);
    let drawn: std::collections::BTreeSet<u64> = (0..1000).map(|_| draw.between(10, 14)).collect();
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    assert_eq!((draw.between(5, 5), draw.between(9, 3)), (5, 9));
    assert!((0..9).any(|_| draw.between(0, u64::MAX) > u64::MAX / 2));
}
