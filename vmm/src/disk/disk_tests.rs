use super::*;

#[test]
fn a_disk_is_a_file_with_a_mode() {
    for (text, path, mode) in [
        ("a.img", "a.img", DiskMode::ReadWrite),
        ("/d/a.img,read-only", "/d/a.img", DiskMode::ReadOnly),
        ("a,copy-on-write", "a", DiskMode::CopyOnWrite),
        ("a,b,read-write", "a,b", DiskMode::ReadWrite),
    ] {
        let config: DiskConfig = text.parse().unwrap();
        assert_eq!(config, DiskConfig { path: path.into(), mode });
        assert_eq!(config.to_string(), text);
    }
}

#[test]
fn another_mode_is_refused() {
    for (bad, hint) in [
        ("a.img,ro", "read-only"),
        ("a.img,", "copy-on-write"),
        ("", "name a file"),
        (",read-only", "name a file"),
    ] {
        let error = bad.parse::<DiskConfig>().unwrap_err().to_string();
        assert!(error.starts_with("--disk ") && error.contains(hint), "{error}");
    }
}
