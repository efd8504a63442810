use super::*;

#[test]
fn a_page_is_trapped_as_long_as_a_range_needs_it() {
    let pages = TrappedPages::default();
    assert!(pages.is_empty() && !pages.may_exit(0x5000));
    pages.add(&(0x5ff8..0x6008));
    pages.add(&(0x5010..0x5018));
    assert_eq!(pages.all(), [0x5000..0x7000, 0x5000..0x6000]);
    pages.remove(&(0x5ff0..0x6010));
    assert!(pages.contains(0x5000) && !pages.contains(0x6000));
    // An exit of that page may be outstanding.
    assert!(pages.may_exit(0x6fff) && !pages.may_exit(0x7000) && !pages.may_exit(0x4fff));
    // A range that was never added.
    pages.remove(&(0x8000..0x8008));
    assert!(!pages.is_empty() && !pages.may_exit(0x8000));
    pages.remove(&(0x5010..0x5018));
    assert!(pages.is_empty() && !pages.contains(0x5000) && pages.may_exit(0x5000));
}
