use super::*;

#[test]
fn points_count_since_the_last_progress() {
    let mut idle = Idle::new(2);
    for _ in 0..5 {
        idle.pass(0);
    }
    idle.pass(1);
    assert_eq!((idle.points(0), idle.points(1)), (5, 1));
    idle.progress();
    assert_eq!((idle.points(0), idle.points(1)), (0, 0));
    idle.pass(1);
    assert_eq!((idle.points(0), idle.points(1)), (0, 1));
}
