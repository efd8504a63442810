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
