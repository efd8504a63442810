use super::*;

fn segments() -> Segments {
    let segment = |linear, physical, size| Segment { linear, physical, size };
    Segments(vec![segment(0xffff_8000, 0x10_0000, 0x2000), segment(0x40_0000, 0x20_0000, 0x10)])
}

#[test]
fn an_address_is_as_far_into_the_segment_in_memory_as_in_the_image() {
    let segments = segments();
    assert_eq!(segments.physical(0xffff_8000, 8), Some(0x10_0000..0x10_0008));
    assert_eq!(segments.physical(0xffff_9ff8, 8), Some(0x10_1ff8..0x10_2000));
    assert_eq!(segments.physical(0x40_0004, 0xc), Some(0x20_0004..0x20_0010));
}

#[test]
fn what_no_segment_has_whole_is_nowhere() {
    let segments = segments();
    for (linear, size) in [(0x1000, 1), (0xffff_9ff9, 8), (0x40_0010, 1), (u64::MAX, 1)] {
        assert_eq!(segments.physical(linear, size), None, "{linear:#x}");
    }
    assert_eq!(Segments::read(b"no image"), Segments::default());
}

#[test]
fn a_kernel_is_linked_high_and_loaded_low() {
    let guest = guests::find("hello").unwrap();
    let segments = Segments::read(guest.image);
    let high = segments.0.iter().find(|segment| segment.linear != segment.physical).unwrap();
    assert!(high.linear > 1 << 63 && high.physical < 1 << 32, "{high:x?}");
}
