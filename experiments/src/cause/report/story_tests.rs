use super::*;
use crate::cause::{Scope, Share};

fn access(vcpu: u32, point: u64, kind: Kind, value: &str, function: &str, line: u32) -> Named {
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
        stack: Vec::new(),
    }
}

fn pair(first: &Named, second: &Named, encloses: Option<usize>) -> Pair {
    Pair {
        first: first.clone(),
        second: second.clone(),
        meets: None,
        reversed: Share::default(),
        scope: Scope::Everything,
        among: None,
        encloses,
    }
}

#[test]
fn what_falls_in_between_is_told_as_one() {
    let early = access(1, 5, Kind::Write, "0x0", "probe", 10);
    let read = access(0, 6, Kind::Read, "0x0", "ask", 3);
    let late = access(1, 7, Kind::Write, "0x3", "probe", 12);
    let pairs = [pair(&early, &read, Some(1)), pair(&read, &late, None)];
    assert_eq!(
        tell(&pairs, true, Share::default()),
        ["vCPU 0's read of `flag` in `ask` (file.c:3) fell between vCPU 1's stores of 0x0 and of \
          0x3 in `probe` (file.c:10, file.c:12)."]
    );
}

#[test]
fn one_before_the_other_is_told_so() {
    let read = access(0, 6, Kind::Read, "0x0", "take", 3);
    let mut late = access(1, 0, Kind::Write, "0x1", "give", 12);
    late.in_handler = true;
    assert_eq!(
        tell(&[pair(&read, &late, None)], true, Share::default()),
        [
            "vCPU 0's read of `flag` in `take` (file.c:3) came before vCPU 1's handler's store of 0x1 \
          in `give` (file.c:12)."
        ]
    );
    assert!(
        tell(&[pair(&read, &late, None)], false, Share::default())[0]
            .starts_with("No cause could be shown")
    );
}

#[test]
fn what_fails_in_any_order_is_told_so() {
    let chance = |failed| Share { runs: 100, failed, ..Share::default() };
    assert!(tell(&[], false, chance(99))[0].starts_with("No cause could be shown"));
    let told = tell(&[], false, chance(100));
    assert_eq!(told, ["No order of accesses decides it: all of 100 runs at random fail."]);
}
