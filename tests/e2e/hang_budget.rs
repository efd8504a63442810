//! The claim: a loop that counts is never called a proven hang. If no vCPU makes progress for as
//! long as the hang budget allows, the verdict is a hang "by budget", which replays. If the count
//! ends the loop, before that or afterwards at the guest's own speed, there is no hang.

use serde_json::Value;

use crate::harness::{Invocation, jitterbug};
use crate::image::{Counter, count_and_wait, count_and_wait_for_ap};
use crate::scratch::Folder;

tests! {
    Kvm: a_counting_loop_is_no_proven_hang, a_loop_that_ends_is_no_hang,
        who_seems_to_wait_is_outlasted_too, ctrl_c_reaches_a_long_run;
    Nothing: a_budget_without_effect_is_refused;
}

const FOREVER: u32 = i32::MAX as u32;
const COUNTERS: [Counter; 2] = [Counter::Stack, Counter::Register];

fn report(invocation: Invocation, folder: &Folder, status: i32) -> Value {
    invocation.arg("--json").arg("--out").arg(&**folder).ends_with(status).json()
}

fn a_counting_loop_is_no_proven_hang() {
    let folder = Folder::new();
    for counter in COUNTERS {
        let file = count_and_wait(counter, FOREVER).file();
        let options = match counter {
            Counter::Stack => "--hang-budget 2000",
            Counter::Register => "--strategy pct --hang-budget 11000",
        };
        let hunt = jitterbug(&format!("hunt --runs 1 {options}")).arg(&*file);
        let report = report(hunt, &folder, 1);
        assert_eq!((&report["failed"], &report["cut_short"]), (&1.into(), &0.into()));
        let found = &report["findings"][0];
        assert_eq!(found["finding"]["verdict"], "hang, by budget", "{report:#}");
        let row = &found["finding"]["waits"][0];
        assert!(row["values"][0]["variable"].as_str().unwrap().contains("0x102000"), "{row}");
        assert_eq!(row["values"][0]["value"], "0x0");
        jitterbug("replay --repeat 2")
            .arg(found["file"].as_str().unwrap())
            .ends_with(0)
            .says(&["reproduced 2 times: hang, by budget"]);
    }
}

fn a_loop_that_ends_is_no_hang() {
    let folder = Folder::new();
    for counter in COUNTERS {
        let file = count_and_wait(counter, 3000).file();
        let hunt = |budget| jitterbug(&format!("hunt --runs 2 --hang-budget {budget}")).arg(&*file);
        for enough in [3100, 10_000] {
            let report = report(hunt(enough), &folder, 0);
            // One vCPU has only one interleaving.
            assert_eq!((&report["exhausted"], &report["cut_short"]), (&true.into(), &0.into()));
        }
        // After the budget the loop goes on at the guest's own speed.
        for too_little in [1, 500, 2000, 2900] {
            let report = report(hunt(too_little), &folder, 0);
            assert_eq!((&report["exhausted"], &report["cut_short"]), (&true.into(), &0.into()));
        }
    }
}

/// vCPU 1 counts on its stack and seems to wait; vCPU 0 counts in a register and never waits.
fn who_seems_to_wait_is_outlasted_too() {
    let folder = Folder::new();
    let file = count_and_wait_for_ap(3000).file();
    let hunt =
        |budget| jitterbug(&format!("hunt --cpus 2 --runs 3 --hang-budget {budget}")).arg(&*file);
    for budget in [10_000, 1000] {
        let report = report(hunt(budget), &folder, 0);
        assert_eq!((&report["failed"], &report["cut_short"]), (&0.into(), &0.into()));
    }
}

fn ctrl_c_reaches_a_long_run() {
    let file = count_and_wait(Counter::Register, FOREVER).file();
    let running = jitterbug("hunt --hang-budget 90000000 --budget 100000000").arg(&*file).start();
    // What comes before the run takes only a fraction of that time.
    running.works_for(std::time::Duration::from_secs(1));
    running.signal(nix::sys::signal::Signal::SIGINT);
    running.ends_with(130).shows("").says(&["interrupted: 0 runs"]);
}

fn a_budget_without_effect_is_refused() {
    jitterbug("hunt hello --hang-budget 0").ends_with(2).says(&["--hang-budget"]);
    jitterbug("hunt hello --hang-budget 500 --budget 400")
        .ends_with(2)
        .shows("")
        .says(&["--hang-budget 500", "--budget"]);
}
