use std::sync::atomic::{AtomicU32, Ordering};

use iced_x86::code_asm::*;

use super::*;
use crate::Cancel;
use crate::controlled::test_guest::{Assembled, Guest, SHARED};
use crate::controlled::testing::{case, random};
use crate::end::End;
use crate::error::Error;

const BUDGET: u64 = 1_000_000;

#[test]
fn a_wait_that_gives_up_is_no_hang() {
    let run = |seed| {
        let mut machine = case("gives-up");
        let ending = machine.run(&mut random(seed), BUDGET).unwrap();
        (ending, machine.points(), machine.hash())
    };
    let first = run(1);
    assert_eq!(first.0, End::Guest { code: 0 });
    assert_eq!(run(1), first);
}

/// Runs a guest and cancels the run when the condition is checked for the second time: not at the
/// start.
fn cancelled(code: fn(&mut CodeAssembler) -> Assembled) -> Result<End> {
    let mut machine = Guest::new(code).machine();
    machine.set_hang_budget(100);
    let asked = AtomicU32::new(0);
    machine.set_cancel(Cancel::when(move || asked.fetch_add(1, Ordering::Relaxed) == 1));
    machine.run(&mut random(1), BUDGET)
}

#[test]
fn a_loop_that_is_run_out_can_be_cancelled() {
    let ending = cancelled(|a| {
        let mut turn = a.create_label();
        a.set_label(&mut turn)?;
        a.inc(rax)?;
        a.cmp(dword_ptr(SHARED), 0)?;
        a.je(turn)
    });
    assert!(matches!(ending, Err(Error::Cancelled)), "{ending:?}");
}

#[test]
fn a_vcpu_without_scheduling_points_can_be_cancelled() {
    let ending = cancelled(|a| {
        let mut turn = a.create_label();
        a.set_label(&mut turn)?;
        a.inc(rax)?;
        a.jmp(turn)
    });
    assert!(matches!(ending, Err(Error::Cancelled)), "{ending:?}");
}
