use super::*;

#[test]
fn the_number_of_vcpus_has_bounds() {
    for bad in ["0", "65", "1000", "-1", "many", ""] {
        let error = bad.parse::<CpuCount>().unwrap_err().to_string();
        assert!(error.contains("1 to 64"), "{bad}: {error}");
    }
    assert_eq!("64".parse::<CpuCount>().unwrap().get(), 64);
}

#[test]
fn sizes_are_read_and_printed() {
    for (text, bytes) in
        [("128M", 128 << 20), ("2G", 2 << 30), ("64", 64 << 20), ("4096k", 4 << 20)]
    {
        assert_eq!(text.parse::<MemorySize>().unwrap().bytes(), bytes, "{text}");
    }
    assert_eq!("2G".parse::<MemorySize>().unwrap().to_string(), "2G");
    for bad in ["", "M", "1M", "100G", "12x", "-5M", "99999999999999G"] {
        assert!(bad.parse::<MemorySize>().is_err(), "{bad}");
    }
}
