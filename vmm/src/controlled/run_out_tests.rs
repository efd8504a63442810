use super::*;
use crate::controlled::testing::{case, random};

const BUDGET: u64 = 1_000_000;

#[test]
fn a_wait_that_gives_up_is_no_hang() {
    let run = |seed| {
        let mut machine = case("gives-up");
        let ending = machine.run(&mut random(seed), BUDGET).unwrap();
        (ending, machine.points(), machine.hash())
    };
    let first = run(1);
    assert_eq!(first.0, Ending::Guest { code: 0 });
    assert_eq!(run(1), first);
}
