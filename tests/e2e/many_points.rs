//! The claim: probes at more of the guest's instructions than the hardware has breakpoints for fire
//! each time, also in handlers, at INT3s of the guest's own and in code that the guest changes, and
//! the guest does what it does without them.

use crate::cases;
use crate::harness::{Finished, jitterbug};
use crate::replay_scripts::{find, replay};
use crate::scratch::Folder;

tests! {
    Kvm: a_replay_with_many_points_is_the_same;
    KvmWithInt3: fifty_functions_of_one_vcpu, fifty_functions_of_two_vcpus, functions_and_their_returns,
        handlers_and_changed_code, delicate_instructions, a_hunt_s_runs_are_the_same;
}

/// The number of times that the case `calls` calls its function `call_NN`, on each vCPU.
fn calls(function: u64) -> u64 {
    const ROUNDS: u64 = 20;
    ROUNDS * (function % 10 + 1)
}

/// A script that counts the calls of functions.
fn script(access: &str, functions: impl Iterator<Item = u64>) -> String {
    let probe = |function| {
        format!(r#"GUEST:{access}:call_{function:02} {{ n["{access} {function}"] = count(); }}"#)
    };
    let probes: Vec<_> = functions.map(probe).collect();
    probes.join("\n")
}

fn count(run: &Finished, key: &str) -> u64 {
    let line = format!("  n[\"{key}\"] == count ");
    let figure = run.lines_with(&line).next().and_then(|figure| figure.split(' ').next());
    figure.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("no {key}: {run}"))
}

fn run(cpus: u64, script: &str) -> Finished {
    jitterbug(&format!("-v run --cpus {cpus} --watchdog off"))
        .arg(&*cases::image("calls"))
        .probe(&format!("aggr n[0][1]; {script}"))
        .within(120)
        .ends_with(0)
        .says(&["stopping at instructions by int3"])
}

fn fifty_functions_of_one_vcpu() {
    let run = run(1, &script("ENTER", 0..50));
    for function in 0..50 {
        assert_eq!(count(&run, &format!("ENTER {function}")), calls(function), "{run}");
    }
}

fn fifty_functions_of_two_vcpus() {
    let run = run(2, &script("ENTER", 0..50));
    for function in 0..50 {
        assert_eq!(count(&run, &format!("ENTER {function}")), 2 * calls(function), "{run}");
    }
}

fn functions_and_their_returns() {
    for cpus in [1, 2] {
        let script = format!("{} {}", script("ENTER", 0..5), script("EXIT", 3..8));
        let run = run(cpus, &script);
        for function in 0..5 {
            assert_eq!(count(&run, &format!("ENTER {function}")), cpus * calls(function), "{run}");
        }
        for function in 3..8 {
            assert_eq!(count(&run, &format!("EXIT {function}")), cpus * calls(function), "{run}");
        }
    }
}

/// The guest prints what it counts itself. An interrupt handler and the code outside call the same
/// function; a function begins with an INT3 of the guest's, whose handler is a function, too; and
/// a function is replaced by another one again and again.
fn handlers_and_changed_code() {
    let others = ["in_handler", "own_int3", "on_bp", "changed"];
    let others = others.map(|name| format!(r#"GUEST:ENTER:{name} {{ n["{name}"] = count(); }}"#));
    for cpus in [1, 2] {
        let run = run(cpus, &format!("{} {}", script("ENTER", 0..3), others.join(" ")));
        let figures = |key: &str| count(&run, key);
        let seen = ["in_handler", "own_int3", "on_bp", "changed"].map(figures);
        assert_eq!(seen, [60, 20, 20, 40], "{run}");
        assert!(run.stdout.contains("handled 60, caught 20"), "{run}");
    }
}

/// The guest counts itself what it has skipped and how often it was woken, and whether it has seen
/// a trap flag. These places have hardware breakpoints; INT3s at functions come on top.
fn delicate_instructions() {
    let places = ["at_ud2", "at_pushf", "at_hlt", "on_ud"];
    let functions = ["skip", "look_at_flags", "sleep_once", "wake", "send_ipi"];
    let probes = |names: &[&str]| {
        let probe = |name: &&str| format!(r#"GUEST:ENTER:{name} {{ n["{name}"] = count(); }}"#);
        names.iter().map(probe).collect::<Vec<_>>().join("\n")
    };
    let both = [&places[..], &functions[..]].concat();
    for names in [&places[..], &both[..]] {
        let run = jitterbug("run --cpus 1 --watchdog off")
            .arg(&*cases::image("delicate"))
            .probe(&format!("aggr n[0][1]; {}", probes(names)))
            .ends_with(0);
        assert!(run.stdout.contains("skipped 10, woken 10, traced 0"), "{run}");
        for name in names {
            assert_eq!(count(&run, name), 10, "{name}: {run}");
        }
    }
}

/// Five functions, and an instruction inside of one.
const POINTS: &str = r#"aggr n[0][1];
    GUEST:ENTER:main { n["main"] = count(); } GUEST:ENTER:add_one { n["add"] = count(); }
    GUEST:ENTER:race_ap { n["ap"] = count(); } GUEST:ENTER:halt { n["halt"] = count(); }
    GUEST:ENTER:start_ap { n["start"] = count(); } GUEST:ENTER:exit { n["exit"] = count(); }"#;

fn a_replay_with_many_points_is_the_same() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    let plain = replay(&finding, "--json").ends_with(0).json();
    let run = replay(&finding, "--json").probe(POINTS).ends_with(0);
    assert_eq!(run.json()["hash"], plain["hash"], "{run}");
    assert_eq!(count(&run, "add"), 2, "{run}");
}

/// Criteria are breakpoints, too.
fn a_hunt_s_runs_are_the_same() {
    let places = "--fail-at assertion_failed --fail-at violated --fail-at trap --fail-at memset \
                  --fail-at send_nmi";
    let hunt = |more: &str| {
        let out = Folder::new();
        let hunt = jitterbug(&format!("hunt lost-update-fixed --seed 7 --runs 40 --json {more}"));
        let report = hunt.arg("--out").arg(&*out).ends_with(0).json();
        ["runs", "points", "hashes"].map(|name| {
            let value = report[name].clone();
            assert!(!value.is_null(), "the report has no {name}");
            value
        })
    };
    assert_eq!(hunt(places), hunt(""));
}
