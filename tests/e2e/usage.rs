//! The claim: a wrong option is refused with its name, its value and what would be right; the
//! status is 2, and nothing runs.

use std::process::Stdio;

use crate::harness::jitterbug;

tests! {
    Nothing: wrong_values, wrong_commands, help_and_version;
    Kvm: a_long_value_is_cut, a_name_is_set_once;
}

fn wrong_values() {
    let cases: &[(&str, &str)] = &[
        ("--cpus 0", "from 1 to 64"),
        ("--cpus 65", "from 1 to 64"),
        ("--cpus 1000", "from 1 to 64"),
        ("--cpus x", "from 1 to 64"),
        ("--mem 1M", "at least 2M"),
        ("--mem 1T", "--mem 1T"),
        ("--mem 999999999999999G", "--mem"),
        ("--mem 1025G", "at most 64G"),
        ("--mem 2049K", "4096"),
        ("--mem lots", "128M"),
        ("--jitter nonsense", "off, light, boot"),
        ("--jitter hold:at=nowhere", "backdoor"),
        ("--jitter hold:p=2", "p"),
        ("--jitter hold:for=5ms..1ms", "upside down"),
        ("--jitter hold:for=2m", "60s"),
        ("--identity xen", "vmware, kvm or none"),
        ("--watchdog 1ms", "at least 100ms"),
        ("--watchdog soon", "500ms"),
        ("--timeout 0", "more than zero"),
        ("--timeout never", "500ms"),
        ("--repeat 0", "--repeat"),
        ("--seed one", "--seed"),
        ("--console cooked", "raw, lines"),
        ("--console raw", "standard input is not a terminal"),
        ("--console raw --json", "single run"),
        ("--console raw --repeat 2", "single run"),
        ("--console raw --bed", "not with --bed"),
        ("--no-such-option", "--no-such-option"),
    ];
    for (arguments, hint) in cases {
        let option = arguments.split(' ').next().expect("an option");
        jitterbug(&format!("run hello {arguments}")).ends_with(2).shows("").says(&[option, hint]);
    }
}

fn a_long_value_is_cut() {
    let refused = jitterbug("run hello --cmdline").arg("x".repeat(100_000)).ends_with(2).shows("");
    let refused =
        refused.says(&["jitterbug: --cmdline ", "xxx...: ", " bytes long; at most 2047 fit"]);
    assert!(refused.stderr.len() < 300, "{refused}");
}

fn a_name_is_set_once() {
    let script = "#define N 1\nVMMLoad { printf(\"%d\", N); }";
    let run = jitterbug("run hello --set N=1 --set N=2 -e").arg(script).ends_with(2).shows("");
    run.says(&["--set N: it is given twice"]);
}

fn wrong_commands() {
    jitterbug("").ends_with(2).shows("").says(&["Usage:"]);
    jitterbug("run").ends_with(2).shows("").says(&["<GUEST|FILE>"]);
    jitterbug("bogus").ends_with(2).shows("").says(&["bogus"]);
    jitterbug("run hello spin").ends_with(2).shows("").says(&["spin"]);
}

fn help_and_version() {
    let help = jitterbug("--help").ends_with(0);
    for word in ["run", "guests", "doctor", "Exit status: 0 no failure found"] {
        assert!(help.stdout.contains(word), "{help}");
    }
    assert!(jitterbug("run --help").ends_with(0).stdout.contains("--until-failure"));
    assert!(jitterbug("--version").ends_with(0).stdout.starts_with("jitterbug "));
    // A reader that has read enough closes the pipe.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    jitterbug("--help").stdout(Stdio::from(writer)).start().ends_with_any(&[0, 1, 2]);
}
