use super::*;

fn integer(format: &str, value: u64) -> String {
    let parts = parse(format).expect("a format");
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::Literal(text) => out.extend(text.into_bytes()),
            Part::Argument(conversion, _) => conversion.integer(value, &mut out),
        }
    }
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn integers_look_as_in_c() {
    for (format, value, expected) in [
        ("%d", u64::MAX, "-1"),
        ("%d", 1 << 63, "-9223372036854775808"),
        ("%i", 7, "7"),
        ("%u", u64::MAX, "18446744073709551615"),
        ("%x", 0xffff_ffff_fb85_45c6, "fffffffffb8545c6"),
        ("%#x", 0xab, "0xab"),
        ("%#x", 0, "0"),
        ("%X", 0xab, "AB"),
        ("%#o", 8, "010"),
        ("%p", 0, "0x0"),
        ("%#llx", 0x00ff_ffff_ffff, "0xffffffffff"),
        ("%2d|", 5, " 5|"),
        ("%1d", 55, "55"),
        ("%03d", 7, "007"),
        ("%03d", (-7_i64) as u64, "-07"),
        ("%08x", 0xbeef, "0000beef"),
        ("%016x", 0xbeef, "000000000000beef"),
        ("%#06x", 0xab, "0x00ab"),
        ("%-4d|", 5, "5   |"),
        ("%-04d|", 5, "5   |"),
        ("%hx", 0x1_2345, "2345"),
        ("%hd", 0xffff, "-1"),
        ("%hhu", 0x1ff, "255"),
        ("%ld", 3, "3"),
        ("%c%c", 65, "AA"),
        ("100%% %d", 1, "100% 1"),
        ("", 1, ""),
    ] {
        assert_eq!(integer(format, value), expected, "{format}");
    }
}

#[test]
fn strings_are_padded() {
    for (format, expected) in [("%s", "ab"), ("%4s", "  ab"), ("%-4s", "ab  "), ("%04s", "  ab")] {
        let parts = parse(format).expect("a format");
        let mut out = Vec::new();
        for part in parts {
            match part {
                Part::Argument(conversion, _) => conversion.text(b"ab", &mut out),
                Part::Literal(text) => panic!("{text}"),
            }
        }
        assert_eq!(out, expected.as_bytes(), "{format}");
    }
}

#[test]
fn what_is_not_a_conversion_is_named_and_placed() {
    for (format, message, at) in [
        ("a%n", "printf has no %n", 1..3),
        ("%", "the format ends inside a conversion", 0..1),
        ("%08", "the format ends inside a conversion", 0..3),
        ("%q", "printf has no %q", 0..2),
        ("%ö", "printf has no %ö", 0..3),
        ("%*d", "printf takes no width", 0..2),
        ("%.3s", "printf has no precision", 0..2),
        ("%f", "printf has no %f: there are no floats", 0..2),
        ("%999d", "printf's width 999 is too large", 0..4),
        ("%llld", "printf has no size lll", 0..4),
    ] {
        let error = parse(format).expect_err(format);
        assert!(error.message.starts_with(message), "{format}: {}", error.message);
        assert_eq!(error.at, at, "{format}");
    }
}
