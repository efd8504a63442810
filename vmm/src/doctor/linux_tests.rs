use super::*;

fn leaf(leaf: u32, subleaf: Option<u32>) -> CpuidEntry {
    CpuidEntry { leaf, subleaf, eax: u32::MAX, ebx: u32::MAX, ecx: u32::MAX, edx: u32::MAX }
}

#[test]
fn nothing_is_hidden_where_everything_works() {
    for entry in [leaf(1, None), leaf(7, Some(0)), leaf(0xd, Some(0)), leaf(0x8000_0001, None)] {
        assert_eq!(Hidden::default().restrict(entry), entry);
    }
}

#[test]
fn each_feature_is_hidden_where_cpuid_offers_it() {
    let ecx = |hidden: Hidden| !hidden.restrict(leaf(1, None)).ecx;
    assert_eq!(ecx(Hidden { cmpxchg16b: true, ..Hidden::default() }), 1 << 13);
    assert_eq!(ecx(Hidden { popcnt: true, ..Hidden::default() }), 1 << 23);
    let rdtscp = Hidden { rdtscp: true, ..Hidden::default() };
    assert_eq!(!rdtscp.restrict(leaf(0x8000_0001, None)).edx, 1 << 27);
}

#[test]
fn without_xsave_there_is_no_avx_either() {
    let hidden = Hidden { xsave: true, ..Hidden::default() };
    for subleaf in [0, 1, 2, 9] {
        let CpuidEntry { eax, ebx, ecx, edx, .. } = hidden.restrict(leaf(0xd, Some(subleaf)));
        assert_eq!([eax, ebx, ecx, edx], [0; 4], "{subleaf}");
    }
    assert_eq!(!hidden.restrict(leaf(1, None)).ecx, 1 << 12 | 1 << 26 | 1 << 28 | 1 << 29);
    let features = hidden.restrict(leaf(7, Some(0)));
    // AVX2 and PKU are gone, SMEP stays.
    assert_eq!((features.ebx >> 5 & 1, features.ecx >> 3 & 1, features.ebx >> 7 & 1), (0, 0, 1));
}
