use super::super::tests::{memory, modes};
use super::*;

#[test]
fn code_is_read_in_its_mode() {
    let [long, real] = modes();
    // In 16-bit code, 0x40 is inc %ax; in 64-bit code, it is a REX prefix of inc %eax.
    let memory = memory(0x8010, &[0x40, 0xff, 0xc0]);
    let mut known = Instructions::default();
    assert_eq!(known.at(0x8010, &long, &memory).unwrap().instruction.len(), 3);
    assert_eq!(known.at(0x10, &real, &memory).unwrap().instruction.len(), 1);
    assert_eq!(known.known.len(), 2);
    assert_eq!(known.at(0x10, &real, &memory).unwrap().instruction.len(), 1);
    assert_eq!(known.known.len(), 2);
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut places = HashMap::new();
    for linear in 0..2 * MAX_PLACES as u64 + 5 {
        make_room(&mut places);
        places.insert(Place { linear, cr3: 0, bits: 64 }, linear);
        assert!(places.len() <= MAX_PLACES);
    }
    assert_eq!(places.len(), 5);
}
