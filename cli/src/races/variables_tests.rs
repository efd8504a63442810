use super::*;

#[test]
fn modules_and_sizes_are_told_from_names() {
    let of = |module: Option<&str>, name: &str, bytes| {
        Some(Sought { module: module.map(Into::into), name: name.into(), bytes })
    };
    for (text, meant) in [
        ("jiffies_64", of(None, "jiffies_64", None)),
        ("jiffies_64:8", of(None, "jiffies_64", Some(8))),
        ("room.0", of(None, "room.0", None)),
        ("virtio-blk:major", of(Some("virtio-blk"), "major", None)),
        ("race:count:4", of(Some("race"), "count", Some(4))),
        ("0xffffffff81c00000", None),
        ("0xffffffff81c00000:8", None),
        ("lock_*", None),
        ("count:0", None),
        ("a:b:c", None),
        (":count", None),
        ("", None),
    ] {
        assert_eq!(sought(text), meant, "{text}");
    }
}

#[test]
fn a_variable_is_not_sought_with_two_sizes() {
    let mut named = Named::default();
    let mut seek = |text: &str| named.seek(&sought(text).expect("a name"), text);
    for text in ["a:4", "a:4", "m:a:8", "b"] {
        seek(text).expect("another one, or the same");
    }
    let refused = seek("a:8").expect_err("two sizes").to_string();
    assert!(refused.starts_with("--watch a:8: --watch a:4 means the same variable"), "{refused}");
    let refused = seek("b:2").expect_err("two sizes").to_string();
    assert!(refused.starts_with("--watch b:2: --watch b means the same variable"), "{refused}");
    assert_eq!(named.names(), ["a", "m:a", "b"]);
}
