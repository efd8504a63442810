use super::*;
use crate::memory::MemorySize;

fn memory() -> Memory {
    Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap()
}

fn set(pages: &[u64]) -> BTreeSet<u64> {
    pages.iter().copied().collect()
}

#[test]
fn a_snapshot_holds_what_changed_and_shares_the_rest() {
    let memory = memory();
    memory.write(0x5000, b"one").unwrap();
    let first = Pages::default().with(&set(&[0x5000, 0x6000]), &memory).unwrap();
    assert_eq!(first.len(), 1, "a page of zeroes takes no room");
    memory.write(0x7000, b"two").unwrap();
    let second = first.with(&set(&[0x5000, 0x7000]), &memory).unwrap();
    assert_eq!(&second.page(0x5000)[..3], b"one");
    assert_eq!(&second.page(0x7000)[..3], b"two");
    assert_eq!(first.page(0x7000), &ZEROES);

    let mut differences = BTreeSet::new();
    first.differences(&second, &mut differences);
    assert_eq!(differences, set(&[0x7000]), "a page that was written but not changed is shared");
    assert!(!first.is(&second) && first.is(&first.clone()));
}

#[test]
fn a_page_that_became_zeroes_again_is_a_difference() {
    let memory = memory();
    memory.write(0x5000, b"one").unwrap();
    let first = Pages::default().with(&set(&[0x5000]), &memory).unwrap();
    memory.write(0x5000, &[0; 3]).unwrap();
    let second = first.with(&set(&[0x5000]), &memory).unwrap();
    assert_eq!(second.page(0x5000), &ZEROES);
    let mut differences = BTreeSet::new();
    second.differences(&first, &mut differences);
    assert_eq!(differences, set(&[0x5000]));
}
