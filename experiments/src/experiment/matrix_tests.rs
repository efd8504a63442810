use super::*;

#[test]
fn combinations_are_never_too_many_to_count() {
    assert_eq!(combinations([].into_iter()), 1);
    assert_eq!(combinations([3, 2].into_iter()), 6);
    assert_eq!(combinations([1 << 22; 3].into_iter()), usize::MAX);
}
