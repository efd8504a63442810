use proptest::prelude::*;

use super::*;

const INT: u32 = 1 << 24;

/// Types of which the last is `outer`: `a` at 0, an unnamed union at 8 with `b` and an unnamed
/// structure with `c` 4 bytes further, the bit field `d` at bit 0x82, `e` at 24.
fn example() -> Vec<u8> {
    let names = b"\0outer\0a\0b\0c\0d\0e\0";
    let name = |text: &str| {
        let wanted = format!("\0{text}\0");
        let at = names.windows(wanted.len()).position(|bytes| bytes == wanted.as_bytes());
        at.map_or(0, |at| at as u32 + 1)
    };
    let words: Vec<u32> = [
        // 1: an integer
        vec![0, INT, 4, 32],
        // 2: a structure { 0: ?, 4: c }
        vec![0, STRUCT << 24 | 2, 8, 0, 1, 0, name("c"), 1, 32],
        // 3: a union { b, structure 2 }
        vec![0, UNION << 24 | 2, 8, name("b"), 1, 0, 0, 2, 0],
        // 4: a structure with the same name and without members, as of a forward declaration
        vec![name("outer"), STRUCT << 24, 0],
        // 5
        vec![
            name("outer"),
            1 << 31 | STRUCT << 24 | 4,
            32,
            name("a"),
            1,
            0,
            0,
            3,
            64,
            name("d"),
            1,
            3 << 24 | 0x82,
            name("e"),
            1,
            192,
        ],
    ]
    .concat();
    whole(&words, names)
}

/// A description with these types and names.
pub(in crate::linux) fn whole(types: &[u32], names: &[u8]) -> Vec<u8> {
    let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for number in [24, 0, types.len() as u32, types.len() as u32, names.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    [bytes, types, names.to_vec()].concat()
}

#[test]
fn members_are_found_also_in_what_has_no_name() {
    let bytes = example();
    let btf = Btf::read(&bytes).expect("types");
    let offsets = ["a", "b", "c", "e"].map(|member| btf.offset("outer", member));
    assert_eq!(offsets, [Some(0), Some(8), Some(12), Some(24)]);
    // A bit field that does not begin with a byte; what is not there.
    assert_eq!(btf.offset("outer", "d"), None);
    assert_eq!(btf.offset("outer", "f"), None);
    assert_eq!(btf.offset("inner", "a"), None);
    assert_eq!(btf.offset("oute", "a"), None);
}

#[test]
fn what_is_not_whole_is_refused() {
    let good = example();
    for length in 0..good.len() {
        assert!(Btf::read(&good[..length]).is_none(), "{length}");
    }
    // Magic, version, length of the header, length of the types, an unknown kind.
    for (at, value) in [(0, 0), (2, 2), (4, 8), (12, 1), (24 + 7, 31)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(Btf::read(&bad).is_none(), "{at}");
    }
}

proptest! {
    #[test]
    fn any_damage_is_survived(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = example();
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if let Some(btf) = Btf::read(&bytes) {
            let _ = btf.offset("outer", "c");
        }
    }
}
