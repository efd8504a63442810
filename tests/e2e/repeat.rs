//! The claim: `--repeat` and `--until-failure` boot again each time with the next seed, count the
//! failures, name their seeds, and don't show the consoles of successful runs.

use crate::harness::jitterbug;
use crate::image;

tests! {
    Kvm: successes_are_quiet, failures_are_named_with_their_seeds, until_failure_stops_there,
        until_failure_has_a_limit, a_time_limit_is_for_each_run,
        seeds_have_an_end;
}

fn successes_are_quiet() {
    let run = jitterbug("run hello --cpus 2 --repeat 5").ends_with(0).shows("");
    let run = run.says(&["jitterbug: 0 of 5 runs failed"]);
    assert!(!run.stderr.contains("seed"), "{run}");
}

fn failures_are_named_with_their_seeds() {
    let guest = image::print_and_exit("again\n", 3);
    let run = jitterbug("run --repeat 3 --seed 7").image(&guest).ends_with(1);
    assert!(run.stdout.starts_with("again\n"), "{run}");
    let run = run.says(&["jitterbug: 3 of 3 runs failed", "failure code 3"]);
    let seeds: Vec<&str> =
        run.lines_with("  seed ").filter_map(|line| line.split(':').next()).collect();
    assert_eq!(seeds, ["7", "8", "9"], "{run}");
}

fn until_failure_stops_there() {
    let guest = image::print_and_exit("again\n", 3);
    jitterbug("run --until-failure")
        .image(&guest)
        .ends_with(1)
        .shows("again\n")
        .says(&["jitterbug: 1 of 1 runs failed", "  seed 1: "]);
}

fn until_failure_has_a_limit() {
    jitterbug("run hello --until-failure --repeat 4")
        .ends_with(0)
        .shows("")
        .says(&["jitterbug: 0 of 4 runs failed"]);
}

fn a_time_limit_is_for_each_run() {
    jitterbug("run spin --timeout 200ms --repeat 3")
        .ends_with(0)
        .shows("")
        .says(&["jitterbug: 0 of 3 runs failed"]);
}

fn seeds_have_an_end() {
    jitterbug("run hello --seed 18446744073709551615").ends_with(0);
    jitterbug("run hello --repeat 2 --seed 18446744073709551615")
        .ends_with(2)
        .shows("")
        .says(&["--seed 18446744073709551615", "--repeat"]);
}
