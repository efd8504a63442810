//! The claim: `probes` lists each probe point with its arguments and its cost on this host. For a
//! point that is not available it gives the same reason as the loader. `probes --bench` measures
//! the engine.

use crate::harness::jitterbug;

tests! {
    Nothing: a_pattern_that_fits_nothing_gets_a_suggestion, without_kvm_the_list_is_still_there,
        the_engine_is_measured;
    Kvm: each_point_is_there_with_its_cost, a_reason_is_that_of_the_loader, each_example_runs,
        details_and_an_example;
}

fn each_point_is_there_with_its_cost() {
    let run = jitterbug("probes").ends_with(0);
    for (point, what) in [
        // A host that is too busy to measure a kick reports no cost.
        ("VMM1Hz", "a kick a tick"),
        ("In", "free: the guest exits anyway, about "),
        ("MMIO_Write", "free: the guest exits anyway, about "),
        ("VMMLoad", "free until it fires"),
        ("HV_NPF", "not here: KVM handles nested page faults itself"),
    ] {
        let of_point = |line: &&str| line.split_whitespace().next() == Some(point);
        let line = run.stdout.lines().find(of_point).unwrap_or_else(|| panic!("{point}: {run}"));
        assert!(line.contains(what), "{line}");
    }
    assert!(run.stdout.contains("ARG0 port, ARG1 bytes an element, ARG2 elements"), "{run}");
    assert_eq!(run.stderr, "", "{run}");
}

/// The list and the loader agree about all points that `run` doesn't have.
fn a_reason_is_that_of_the_loader() {
    let list = jitterbug("probes Guest_* --json").ends_with(0).json();
    let mut refused = 0;
    for point in list["points"].as_array().expect("a list") {
        let name = point["name"].as_str().expect("a name");
        let Some(reason) = point["run"].as_str() else { continue };
        jitterbug("run hello")
            .probe(&format!("{name} {{ exit(); }}"))
            .ends_with(2)
            .says(&[&format!("probe point {name} is not available"), reason]);
        refused += 1;
    }
    assert!(refused >= 20, "{refused}");
}

/// Runs all examples at once, on the guest that has the names in them. (Where exits are slow, the
/// ticks and single steps of all of them leave the guest little time.)
fn each_example_runs() {
    let list = jitterbug("probes --json").ends_with(0).json();
    let mut run = jitterbug("run tsc-sync-fixed --cpus 2 --watchdog off --timeout 5s").within(60);
    let mut examples = 0;
    for point in
        list["points"].as_array().expect("a list").iter().filter(|point| point["run"].is_null())
    {
        run = run.probe(point["example"].as_str().expect("an example"));
        examples += 1;
    }
    assert!(examples >= 20, "{examples}");
    run.ends_with(0);
}

fn details_and_an_example() {
    let run = jitterbug("probes -v GUEST:ENTER:main").ends_with(0);
    for text in ["GUEST:ENTER:...", "ARG0 RDI", "when: ", "by: hardware breakpoints", "-e 'GUEST:"]
    {
        assert!(run.stdout.contains(text), "{text}: {run}");
    }
    assert!(!run.stdout.contains("GUEST:EXIT"), "{run}");
    let run = jitterbug("probes -v Sched_Point").ends_with(0);
    assert!(run.stdout.contains("replay") && run.stdout.contains("not in run: "), "{run}");
}

fn a_pattern_that_fits_nothing_gets_a_suggestion() {
    jitterbug("probes HV_Exti --kvm /dev/null")
        .ends_with(2)
        .shows("")
        .says(&["HV_Exti fits no probe point; did you mean HV_Exit?"]);
}

fn without_kvm_the_list_is_still_there() {
    let run = jitterbug("probes VMM1Hz --kvm /no/such/device").ends_with(0);
    assert_eq!(run.stdout, "VMM1Hz  run, replay  a kick a tick\n", "{run}");
    run.says(&["/no/such/device", "what points cost here is not known"]);
}

/// Whether the goals are met depends on how this program was built.
fn the_engine_is_measured() {
    let run = jitterbug("probes --bench").ends_with(0);
    for row in ["empty ", "an aggregate, string key ", "a stack of 8 frames ", "printf"] {
        let line = run.stdout.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("{row}: {run}"));
        let number = |word: &str| word.parse::<f64>().is_ok_and(|number| number > 0.0);
        assert!(line.split_whitespace().any(number), "{line}");
    }
    assert!(run.stdout.contains("goal 50: ") && run.stdout.contains("goal 150: "), "{run}");
    let list = jitterbug("probes --bench --json").ends_with(0).json();
    let first = &list["operations"][0];
    assert_eq!((&first["id"], &first["goal"]), (&"empty".into(), &50.0.into()));
    jitterbug("probes In --bench").ends_with(2).says(&["cannot be used with"]);
}
