use vmm::criteria::Place;

use super::*;
use crate::finding;

#[test]
fn what_a_shell_would_take_apart_is_quoted() {
    for (text, expected) in [
        ("tsc-sync", "tsc-sync"),
        ("/tmp/a.elf", "/tmp/a.elf"),
        ("", "''"),
        ("a b", "'a b'"),
        ("it's", "'it'\\''s'"),
        ("hold:at=io;pause", "'hold:at=io;pause'"),
        ("0@1>2", "'0@1>2'"),
        ("it's\u{1b}1\n", "$'it\\'s\\0331\\012'"),
    ] {
        assert_eq!(quoted(text), expected);
    }
}

#[test]
fn only_what_is_not_the_default_is_said() {
    let mut machine = finding::tests::finding().machine;
    assert_eq!(machine.arguments(), "tsc-sync --cpus 6");
    machine.guest = "my guest.elf".into();
    machine.memory = "64M".into();
    machine.identity = "kvm".into();
    machine.command_line = "cpus=3 verbose".into();
    machine.granularity = "instruction".into();
    machine.faults = vec!["ipi-drop:to=1".into(), "nmi".into()];
    machine.disks = vec!["a b.img,read-only".into(), "c.img".into()];
    machine.rng = true;
    machine.virtio_console = true;
    let expected = "'my guest.elf' --cpus 6 --mem 64M --identity kvm --cmdline 'cpus=3 verbose' \
                    --granularity instruction --rng --virtio-console \
                    --fault ipi-drop:to=1 --fault nmi --disk='a b.img,read-only' --disk=c.img";
    assert_eq!(machine.arguments(), expected);
}

/// Without these arguments, the same run may end in another way.
#[test]
fn what_ends_a_run_is_said() {
    let mut machine = finding::tests::finding().machine;
    let pattern = |text: &str| text.parse::<Pattern>().unwrap();
    machine.criteria.ok = vec![pattern("all up"), pattern("-> done")];
    machine.criteria.fail = vec![pattern("BUG: *")];
    machine.criteria.fail_at = vec![Place { symbol: "panic+0x4".into(), address: 0x1004 }];
    let expected =
        "tsc-sync --cpus 6 --ok='all up' --ok='-> done' --fail='BUG: *' --fail-at=panic+0x4";
    assert_eq!(machine.arguments(), expected);
}

#[test]
fn what_begins_with_a_hyphen_is_no_option() {
    let mut machine = finding::tests::finding().machine;
    machine.guest = "-x.elf".into();
    machine.command_line = "-v".into();
    assert_eq!(machine.arguments(), "./-x.elf --cpus 6 --cmdline=-v");
    assert_eq!(option("cmdline", "- v"), " --cmdline='- v'");
    assert_eq!((&*quoted_path("-a b"), &*quoted_path("a")), ("'./-a b'", "a"));
}
