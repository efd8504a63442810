use super::*;

fn point(number: u64, last: u32, rip: u64, enabled: &[Choice]) -> Point<'_> {
    Point { number, enabled, faults: &[], last: Some(last), rip, hash: 0 }
}

fn preempts(schedule_state: &ScheduleState, point: &Point) -> Vec<(Choice, bool)> {
    schedule_state
        .transitions(point)
        .iter()
        .map(|transition| (transition.choice, transition.preempts))
        .collect()
}

use Choice::{Interrupt, Step};

#[test]
fn a_switch_is_a_preemption_unless_it_has_to_be_or_the_other_has_just_been_woken() {
    let mut schedule_state = ScheduleState::new(3);
    schedule_state.choose(&point(0, 0, 1, &[Step(0), Step(1)]), Step(0));
    // vCPU 1 could go on before; vCPU 2 has just been woken.
    let woken = point(1, 0, 2, &[Step(0), Step(1), Step(2)]);
    assert_eq!(
        preempts(&schedule_state, &woken),
        [(Step(0), false), (Step(1), true), (Step(2), false)]
    );
    schedule_state.choose(&woken, Step(0));
    let later = point(2, 0, 3, &[Step(0), Step(1), Step(2)]);
    assert_eq!(
        preempts(&schedule_state, &later),
        [(Step(0), false), (Step(1), true), (Step(2), true)]
    );
    let blocked = point(2, 0, 3, &[Step(1), Step(2)]);
    assert_eq!(preempts(&schedule_state, &blocked), [(Step(1), false), (Step(2), false)]);
}

#[test]
fn an_interrupt_is_free_and_holding_it_back_is_not() {
    let mut schedule_state = ScheduleState::new(2);
    schedule_state.choose(&point(0, 0, 1, &[Step(0), Step(1)]), Step(0));
    let pending = point(1, 0, 2, &[Step(0), Interrupt(0), Step(1)]);
    assert_eq!(
        preempts(&schedule_state, &pending),
        [(Step(0), true), (Interrupt(0), false), (Step(1), true)]
    );
    assert_eq!(schedule_state.goes_on(&pending), Interrupt(0));
}

#[test]
fn who_ran_last_goes_on_and_then_who_ran_most_recently() {
    let mut schedule_state = ScheduleState::new(4);
    for vcpu in [2, 1, 0] {
        schedule_state.choose(&point(0, 3, 1, &[Step(vcpu)]), Step(vcpu));
    }
    assert_eq!(schedule_state.goes_on(&point(3, 0, 1, &[Step(0), Step(1), Step(2)])), Step(0));
    assert_eq!(schedule_state.goes_on(&point(3, 0, 1, &[Step(1), Step(2), Step(3)])), Step(1));
    assert_eq!(schedule_state.goes_on(&point(3, 0, 1, &[Step(2), Step(3)])), Step(2));
    // A loop that counts doesn't starve the other vCPUs.
    for number in 0..=MAX_CONSECUTIVE_POINTS {
        schedule_state.choose(&point(number, 0, 1, &[Step(0), Step(1), Step(2)]), Step(0));
    }
    assert_eq!(schedule_state.goes_on(&point(9, 0, 1, &[Step(0), Step(1), Step(2)])), Step(2));
}

#[test]
fn coming_round_a_loop_that_changes_nothing_is_one_visit() {
    let mut schedule_state = ScheduleState::new(1);
    let arrive = |schedule_state: &mut ScheduleState, rip: u64, progress: u64| {
        schedule_state.arrive(&point(0, 0, rip, &[]), |_| progress);
        schedule_state.program_points[0]
    };
    assert_eq!(arrive(&mut schedule_state, 0x10, 0), ProgramPoint { rip: 0x10, visit: 1 });
    assert_eq!(arrive(&mut schedule_state, 0x20, 0), ProgramPoint { rip: 0x20, visit: 1 });
    assert_eq!(arrive(&mut schedule_state, 0x10, 0), ProgramPoint { rip: 0x10, visit: 1 });
    assert_eq!(arrive(&mut schedule_state, 0x10, 1), ProgramPoint { rip: 0x10, visit: 2 });
    assert_eq!(arrive(&mut schedule_state, 0x20, 1), ProgramPoint { rip: 0x20, visit: 2 });
}
