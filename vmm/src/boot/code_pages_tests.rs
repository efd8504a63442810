use super::*;

#[test]
fn a_guest_s_code_is_on_pages_of_its_own() {
    let guest = guests::find("hello").unwrap();
    let image = Image { name: "hello", bytes: guest.image };
    let pages = code_pages(image);
    for code in executable(image) {
        assert!(pages.iter().any(|range| range.start <= code.start && code.end <= range.end));
    }
    let all: u64 = pages.iter().map(|range| range.end - range.start).sum();
    assert!(all > 0 && all.is_multiple_of(PAGE_SIZE), "{pages:x?}");
}

#[test]
fn a_page_with_writable_data_is_no_page_of_code() {
    let guest = guests::find("hello").unwrap();
    let mut bytes = guest.image.to_vec();
    // Every segment becomes writable.
    let headers = FileHeader64::<LE>::parse(guest.image).unwrap();
    let (start, count) = (headers.e_phoff.get(LE) as usize, headers.e_phnum.get(LE) as usize);
    for header in 0..count {
        const FLAGS: usize = 4;
        bytes[start + 56 * header + FLAGS] |= PF_W.0 as u8;
    }
    assert!(code_pages(Image { name: "hello", bytes: &bytes }).is_empty());
    assert!(code_pages(Image { name: "none", bytes: b"no image" }).is_empty());
}
