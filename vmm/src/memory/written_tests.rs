use super::*;

fn taken(pages: &WrittenPages) -> Vec<u64> {
    let mut taken = Vec::new();
    pages.take(|page| taken.push(page));
    taken
}

#[test]
fn a_write_marks_the_pages_it_touches_and_no_others() {
    let pages = WrittenPages::with_len(10_000 * 4096);
    pages.mark_dirty(4096 * 70 + 4095, 2);
    pages.mark_dirty(9_999 * 4096, 4096);
    pages.mark_dirty(0, 1);
    pages.mark_dirty(4096 * 200, 0);
    assert!(pages.dirty_at(70 * 4096) && pages.dirty_at(71 * 4096) && !pages.dirty_at(72 * 4096));
    assert_eq!(taken(&pages), [0, 70, 71, 9_999]);
    assert!(taken(&pages).is_empty(), "taken once");
    pages.mark_dirty(4096 * 70, 1);
    assert_eq!(taken(&pages), [70]);
}

#[test]
fn a_slice_counts_from_its_own_start() {
    let pages = WrittenPages::with_len(100 * 4096);
    pages.slice_at(4096 * 3).mark_dirty(4096, 1);
    assert_eq!(taken(&pages), [4]);
}

#[test]
fn what_lies_behind_the_end_is_nobodys() {
    let pages = WrittenPages::with_len(4096);
    pages.mark_dirty(4096 * 64, 4096);
    assert!(taken(&pages).is_empty());
}
