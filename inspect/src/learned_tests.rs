use super::*;
use crate::symbols::Kind;

fn function(name: &str, module: &str) -> Found {
    let (name, module) = (name.to_owned(), Some(module.to_owned()));
    Found { name, start: 0x1000, size: Some(0x20), kind: Kind::Function, module }
}

fn name(learned: &Learned, address: u64) -> Option<&str> {
    match learned.get(address)? {
        Known::Function(function) => Some(&function.name),
        Known::Nameless => Some("nameless"),
        Known::Changed => Some("changed"),
    }
}

#[test]
fn an_address_keeps_its_name_only_while_it_means_the_same() {
    let mut learned = Learned::default();
    for _ in 0..2 {
        learned.add(0x1010, Some(function("one", "a")));
        assert_eq!(name(&learned, 0x1010), Some("one"));
    }
    learned.add(0x1018, None);
    assert_eq!(name(&learned, 0x1018), Some("nameless"));
    // Another module, or none, at the same place; the first one's return does not help.
    for next in [Some(function("one", "b")), Some(function("two", "a")), None] {
        let mut learned = Learned::default();
        learned.add(0x1010, Some(function("one", "a")));
        learned.add(0x1010, next);
        assert_eq!(name(&learned, 0x1010), Some("changed"));
        learned.add(0x1010, Some(function("one", "a")));
        assert_eq!(name(&learned, 0x1010), Some("changed"));
    }
    learned.add(0x1018, Some(function("one", "a")));
    assert_eq!(name(&learned, 0x1018), Some("changed"));
    assert_eq!(name(&learned, 0x1011), None);
}

#[test]
fn the_memory_is_bounded() {
    let mut learned = Learned::default();
    for address in 0..=MAX_ADDRESSES as u64 {
        learned.add(address, Some(function("one", "a")));
    }
    assert_eq!(learned.0.len(), MAX_ADDRESSES);
    // What is known is still kept right.
    learned.add(0, None);
    assert_eq!(name(&learned, 0), Some("changed"));
}
