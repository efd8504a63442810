use super::*;
use crate::cause::{FailureRate, Scope};

pub(in crate::cause::report) fn access(
    vcpu: u32,
    point: u64,
    kind: Kind,
    value: &str,
    function: &str,
    line: u32,
) -> Named {
    Named {
        vcpu,
        point,
        kind,
        variable: "flag".into(),
        address: "0x1000".into(),
        size: 4,
        before: "0x0".into(),
        value: value.into(),
        function: function.into(),
        offset: point,
        file: Some("dir/file.c".into()),
        line: Some(line),
        instruction: None,
        in_handler: false,
        sender: None,
        stack: Vec::new(),
    }
}

fn figures(shown: bool) -> Figures {
    Figures { shown, forced: FailureRate::default(), chance: FailureRate::default() }
}

fn pair(first: &Named, second: &Named) -> Pair {
    Pair {
        first: first.clone(),
        second: second.clone(),
        meets: None,
        reversed: FailureRate::default(),
        scope: Scope::Everything,
        among: None,
        encloses: None,
    }
}

/// The steps of a run with these accesses.
pub(in crate::cause::report) fn steps(accesses: &[&Named]) -> Vec<NamedStep> {
    let step = |access: &&Named| NamedStep {
        point: access.point,
        vcpu: access.vcpu,
        interrupt: false,
        vector: None,
        turns_off: false,
        sends: None,
        halts: false,
        fault: false,
        switch: false,
        preempts: false,
        access: Some(Named::clone(access)),
    };
    accesses.iter().filter(|access| access.point > 0).map(step).collect()
}

fn told(pairs: &[Pair]) -> Vec<String> {
    let all: Vec<&Named> = pairs.iter().flat_map(|pair| [&pair.first, pair.later()]).collect();
    tell(pairs, &[], figures(true), &steps(&all))
}

#[test]
fn what_falls_in_between_is_told_as_one() {
    let early = access(1, 5, Kind::Write, "0x0", "probe", 10);
    let read = access(0, 6, Kind::Read, "0x0", "ask", 3);
    let late = access(1, 7, Kind::Write, "0x3", "probe", 12);
    for pairs in
        [[pair(&early, &read), pair(&read, &late)], [pair(&read, &late), pair(&early, &read)]]
    {
        assert_eq!(
            told(&pairs),
            [
                "vCPU 0's read of `flag` in `ask` (file.c:3) fell between vCPU 1's stores of 0x0 and \
              of 0x3 in `probe` (file.c:10, file.c:12)."
            ]
        );
    }
}

/// Two pairs that each state "my read before your store": only the points show which sequence is
/// within the other.
#[test]
fn the_order_of_the_points_says_which_stretch_is_the_inner_one() {
    let add = |vcpu, from, to| {
        (
            access(vcpu, from, Kind::Read, "0x0", "add", 18),
            access(vcpu, to, Kind::Write, "0x1", "add", 19),
        )
    };
    let pairs = |one: &(Named, Named), other: &(Named, Named)| {
        [pair(&one.0, &other.1), pair(&other.0, &one.1)]
    };
    let (outer, inner) = (add(0, 20, 25), add(1, 22, 23));
    for pairs in [pairs(&outer, &inner), pairs(&inner, &outer)] {
        assert_eq!(
            told(&pairs),
            [
                "vCPU 1's read and store of `flag` in `add` (file.c:18, file.c:19) fell between vCPU \
              0's read and store in `add` (file.c:18, file.c:19)."
            ]
        );
    }
    let (one, other) = (add(0, 20, 24), add(1, 22, 26));
    for pairs in [pairs(&one, &other), pairs(&other, &one)] {
        assert_eq!(
            told(&pairs),
            [
                "What vCPU 0 and vCPU 1 do to `flag` overlaps: vCPU 0's read in `add` (file.c:18), vCPU \
              1's read in `add` (file.c:18), vCPU 0's store of 0x1 in `add` (file.c:19) and vCPU 1's \
              store of 0x1 in `add` (file.c:19), in this order."
            ]
        );
    }
    // No point is left out: what two vCPUs do between two accesses of the other is stated, too.
    let third = access(0, 28, Kind::Update, "0x2", "add", 20);
    let more = [pair(&one.0, &other.1), pair(&other.0, &one.1), pair(&other.1, &third)];
    let told = told(&more);
    assert!(told[0].starts_with("`flag` was used by turns: vCPU 0's read in"), "{told:?}");
    assert_eq!(told[0].matches("vCPU").count(), 5, "{told:?}");
}

/// Which pairs are needed differs from what came in between.
#[test]
fn what_else_fell_in_between_is_told() {
    let enter = |vcpu, point| access(vcpu, point, Kind::Update, "0x1", "critical", 3);
    let (first, inner, late) = (enter(0, 20), enter(1, 22), enter(0, 26));
    let (read, leave) = (access(1, 23, Kind::Read, "0x2", "critical", 4), enter(1, 24));
    let pairs = [pair(&first, &inner), pair(&inner, &late)];
    let run = steps(&[&first, &inner, &read, &leave, &late]);
    assert_eq!(
        tell(&pairs, &[], figures(true), &run),
        [
            "vCPU 1's two updates of `flag` in `critical` (file.c:3) fell between vCPU 0's two updates \
             in `critical` (file.c:3)."
        ]
    );
    let points: Vec<u64> = super::told(&pairs, &run).iter().map(|access| access.point).collect();
    assert_eq!(points, [20, 22, 24, 26]);
}

#[test]
fn one_before_the_other_is_told_so() {
    let read = access(0, 6, Kind::Read, "0x0", "take", 3);
    let mut late = access(1, 0, Kind::Write, "0x1", "give", 12);
    late.in_handler = true;
    let before = "vCPU 0's read of `flag` in `take` (file.c:3) came before vCPU 1's handler's store \
                  of 0x1 in `give` (file.c:12)";
    assert_eq!(told(&[pair(&read, &late)]), [format!("{before}, which then never came.")]);
    late.point = 9;
    assert_eq!(told(&[pair(&read, &late)]), [format!("{before}.")]);
    // A sentence must not state that an access that never came was before one that did.
    let never = Named { point: 0, ..read.clone() };
    let [told] = &told(&[pair(&never, &late)])[..] else { panic!("one sentence") };
    assert!(told.ends_with("the shortest schedule doesn't come to the former."), "{told}");
    assert!(
        tell(&[pair(&read, &late)], &[], figures(false), &[])[0]
            .starts_with("No cause could be shown")
    );
}

#[test]
fn other_places_and_other_vcpus_are_told_of_by_themselves() {
    let (one, two) =
        (access(0, 5, Kind::Update, "0x1", "f", 1), access(1, 8, Kind::Read, "0x1", "g", 2));
    let other = |access: &Named, point| Named {
        point,
        variable: "other".into(),
        address: "0x2000".into(),
        ..access.clone()
    };
    let pairs = [pair(&one, &two), pair(&other(&two, 6), &other(&one, 9))];
    let told = told(&pairs);
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("update of `flag` in `f` (file.c:1) came before vCPU 1's read"));
    assert!(told[1].contains("read of `other` in `g` (file.c:2) came before vCPU 0's update"));
}

#[test]
fn what_fails_in_any_order_is_told_so() {
    let told = |failed| {
        let chance = FailureRate { runs: 100, failed, ..FailureRate::default() };
        tell(&[], &[], Figures { chance, ..figures(false) }, &[])
    };
    assert!(told(99)[0].starts_with("No cause could be shown"));
    assert_eq!(told(100), ["No order of accesses decides it: all of 100 runs at random fail."]);
}

#[test]
fn a_fault_is_needed_only_if_the_runs_say_so() {
    let rate = |failed| FailureRate { runs: 100, failed, ..FailureRate::default() };
    let told = |without, shown, forced: u32| {
        let what = "the IPI from vCPU 1 to vCPU 0 was lost".into();
        let fault =
            TestedFault { point: 7, what, place: "send+0x2".into(), without: rate(without) };
        let figures = Figures { shown, forced: rate(forced), chance: rate(forced) };
        tell(&[], &[fault], figures, &[]).pop().unwrap()
    };
    let fault = "The IPI from vCPU 1 to vCPU 0 was lost, in `send+0x2`.";
    assert_eq!(
        told(0, true, 100),
        format!(
            "{fault} The failure needs this fault: without it, 0 of 100 runs at random fail; with it, 100 of 100."
        )
    );
    let both = |without, with| {
        format!("{fault} Without it, {without} of 100 runs at random fail; with it, {with} of 100.")
    };
    assert_eq!(told(40, true, 100), both(40, 100));
    // Hardly any run fails with the fault, so that none does without it means nothing.
    assert_eq!(told(0, false, 2), both(0, 2));
}
