//! The claim: every injection is counted and shown; the same seed draws the same delays; a setting
//! that injected nothing is an error that says so.

use serde_json::Value;

use crate::harness::jitterbug;
use crate::image;

tests! {
    Kvm: what_injects_nothing_is_an_error, injections_are_shown, the_same_seed_draws_the_same,
        another_seed_draws_otherwise, each_run_takes_the_next_seed, presets_inject,
        a_failure_outweighs_idle_jitter, the_hardest_settings_let_a_run_end,
        a_long_hold_ends_with_the_run;
}

const HOLDS: &str = "hold:at=io,p=0.5,for=100us..1ms";

/// For each run, the number of holds and the requested microseconds.
fn draws(arguments: &str) -> Vec<(u64, u64)> {
    let run = jitterbug(&format!("run hello --jitter {HOLDS} --json {arguments}")).ends_with(0);
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{run}"));
    let report = run.json();
    let runs = report["boots"].as_array().expect("runs");
    let injections = runs.iter().map(|run| &run["injections"]);
    injections.map(|i| (number(&i["holds"]), number(&i["microseconds"]))).collect()
}

fn what_injects_nothing_is_an_error() {
    jitterbug("run hello --jitter hold:at=mmio")
        .ends_with(2)
        .says(&["--jitter hold:at=mmio", "nothing was injected"]);
    jitterbug("run hello --jitter hold:p=0").ends_with(2);
    jitterbug("run hello --jitter hold:at=start --repeat 2")
        .ends_with(2)
        .says(&["nothing was injected"]);
}

fn injections_are_shown() {
    let run = jitterbug(&format!("run hello --jitter {HOLDS}")).ends_with(0);
    let line = run.lines_with("jitterbug: jitter hold:at=io").next();
    let words: Vec<&str> = line.unwrap_or_else(|| panic!("{run}")).split_whitespace().collect();
    let holds = words.iter().position(|&word| word == "holds,").expect("holds");
    let holds: u64 = words[holds - 1].parse().expect("a number");
    assert!((10..=40).contains(&holds), "about half of 48: {run}");
}

fn the_same_seed_draws_the_same() {
    let first = draws("--seed 5");
    assert!(first[0].0 > 0 && first[0].1 > 0, "{first:?}");
    assert_eq!(first, draws("--seed 5"));
}

fn another_seed_draws_otherwise() {
    let (one, other) = (draws("--seed 5"), draws("--seed 6"));
    assert_ne!(one[0].1, other[0].1);
}

fn each_run_takes_the_next_seed() {
    let together = draws("--seed 7 --repeat 3");
    let apart: Vec<_> = (7..10).flat_map(|seed| draws(&format!("--seed {seed}"))).collect();
    assert_eq!(together, apart);
}

fn presets_inject() {
    for preset in ["light", "boot"] {
        let run =
            jitterbug(&format!("run hello --cpus 4 --jitter {preset} --repeat 3")).ends_with(0);
        assert!(run.lines_with(&format!("jitterbug: jitter {preset}: ")).count() == 1, "{run}");
    }
}

fn a_failure_outweighs_idle_jitter() {
    jitterbug("run --jitter hold:at=mmio")
        .image(&image::exit(3))
        .ends_with(1)
        .says(&["failure code 3", "nothing was injected"]);
}

/// Whatever is injected, the guest makes progress, and the run ends in time.
fn the_hardest_settings_let_a_run_end() {
    for setting in [
        "pause:every=10us..10us,for=1us..1us",
        "pause:every=10us..10us,for=10ms..10ms",
        "throttle:every=10us..10us,for=1s..1s,slice=10us..10us,gap=1us..1us",
        "hold:p=1,for=1us..1us;pause:every=10us..20us,for=1us..1us;throttle",
    ] {
        jitterbug(&format!("run spin --cpus 3 --timeout 1s --jitter {setting}"))
            .within(10)
            .ends_with(0)
            .says(&["time limit reached"]);
    }
    // With this setting no vCPU could ever make progress.
    jitterbug("run hello --jitter pause:every=1us..1us,for=1us..1us").ends_with(2).shows("");
}

fn a_long_hold_ends_with_the_run() {
    let held = "--jitter hold:p=1,for=60s..60s";
    // The vCPU is held from its first exit on, whenever that happens.
    let mut limits = [1, 4, 16].into_iter().map(|seconds| {
        let run = jitterbug(&format!("run hello --timeout {seconds}s {held}")).within(30);
        run.start().ends_with_any(&[0, 2])
    });
    let (_, run) = limits.find(|(status, _)| *status == 0).expect("it comes to an exit in 16 s");
    run.says(&["time limit reached", " 1 holds, "]); // the other vCPUs haven't been started
    let running = jitterbug(&format!("run hello -vv {held}")).within(20).start();
    running.reports("injected vcpu=");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.ends_with(143).says(&["interrupted"]);
}
