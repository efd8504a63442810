use std::time::Duration;

use inspect::linux::Task;
use inspect::unwind::{CallFrame, Quality};

use super::*;

fn access(vcpu: u32, write: bool) -> Access {
    Access {
        vcpu,
        address: 0x1004,
        size: 4,
        write,
        locked: vcpu == 1,
        value: write.then_some(7),
        stack: [0x10, 0x20]
            .map(|address| CallFrame { address, quality: Quality::Exact, is_return_address: write })
            .into(),
        task: write.then(|| Task {
            address: 0x5000,
            process: 7,
            thread: 9,
            name: b"insmod".into(),
        }),
    }
}

#[test]
fn a_race_is_told_with_both_accesses() {
    let race = Race {
        variable: 0,
        held: access(0, false),
        other: access(1, true),
        apart: Duration::from_micros(1500),
        times: 2,
    };
    let variable = Variable { name: "counter".into(), linear: 0xff00, physical: 0x1000..0x1008 };
    let report =
        Report::new(&race, &[variable], &Inspector::default()).expect("the variable is there");
    assert_eq!(
        report.to_string(),
        "race on counter at 0xff00, met 2 times\n  \
         vCPU 0 read, 4 bytes at offset 4\n    0x10 < 0x20\n  \
         vCPU 1 wrote 0x7, 4 bytes at offset 4, in a locked instruction, by insmod (9), while vCPU \
         0 was still there\n    0x10 < 0x20"
    );
    assert_eq!(Report::new(&race, &[], &Inspector::default()), None);
}

#[test]
fn a_search_that_could_see_nothing_says_so() {
    let tally = |accesses: &[(u32, bool)], holds| {
        let mut tally = Tally { holds, ..Tally::new(2) };
        for (vcpu, write) in accesses {
            tally.add(&access(*vcpu, *write));
        }
        tally
    };
    let blind = |tally: &Tally| tally.blind().map_or("can see", Blind::of_all).to_owned();
    assert_eq!(blind(&tally(&[], 0)), "no watched variable was accessed");
    assert!(blind(&tally(&[(0, true), (0, false)], 2)).starts_with("only one vCPU"));
    assert!(blind(&tally(&[(0, false), (1, false)], 2)).ends_with("was written"));
    assert!(blind(&tally(&[(0, true), (1, false)], 0)).starts_with("no vCPU was held"));
    let mut sees = tally(&[(0, true), (1, false)], 1);
    assert_eq!(blind(&sees), "can see");
    sees.merge(&tally(&[(0, true)], 2));
    assert_eq!((sees.writes, sees.holds), (vec![2, 0], 3));
    let unknown = Tally { unknown: 3, ..Tally::new(2) };
    assert!(blind(&unknown).starts_with("too little is known"));
}
