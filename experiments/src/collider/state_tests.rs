use inspect::unwind::{CallFrame, Quality};

use super::super::report::Blind;
use super::*;

const fn at(vcpu: u32, rip: u64, write: bool) -> (u32, u64, bool) {
    (vcpu, rip, write)
}

fn access((vcpu, rip, write): (u32, u64, bool)) -> Access {
    Access {
        vcpu,
        address: 0x1000,
        size: 4,
        write,
        locked: false,
        value: None,
        stack: vec![CallFrame { address: rip, quality: Quality::Exact, is_return_address: false }],
        task: None,
    }
}

const MS: Duration = Duration::from_millis(1);

/// Adds accesses one after the other, a millisecond apart; each is held for this time if the state
/// wants it to be.
fn meet(length: Duration, accesses: &[Access]) -> State {
    let mut state = State::new(4);
    for (number, access) in (0u32..).zip(accesses) {
        let now = MS * number;
        let mut access = access.clone();
        if state.add(&[0], &mut access, now, |_| false, |_| ()) {
            state.hold(vec![0], access, now, length);
        }
    }
    state
}

#[test]
fn accesses_meet_while_one_is_held() {
    let both = [access(at(0, 1, false)), access(at(1, 2, true))];
    let state = meet(2 * MS, &both);
    assert_eq!(state.races().len(), 1);
    let race = &state.races()[0];
    assert_eq!((race.held.vcpu, race.other.vcpu, race.apart), (0, 1, MS));
    // The hold is over.
    assert_eq!(meet(MS, &both).races(), []);
}

#[test]
fn only_conflicting_accesses_race() {
    let held = access(at(0, 1, true));
    let elsewhere = Access { address: 0x1004, ..access(at(1, 2, true)) };
    let same_vcpu = access(at(0, 2, true));
    assert_eq!(meet(2 * MS, &[held.clone(), elsewhere]).races(), []);
    assert_eq!(meet(2 * MS, &[held.clone(), same_vcpu]).races(), []);
    let read = |vcpu| access(at(vcpu, 3, false));
    assert_eq!(meet(2 * MS, &[read(0), read(1)]).races(), []);
    let inside = Access { address: 0x1003, size: 1, ..read(1) };
    assert_eq!(meet(2 * MS, &[held, inside]).races().len(), 1);
}

#[test]
fn locked_instructions_don_t_race_with_each_other() {
    let locked = |vcpu, write| Access { locked: true, ..access(at(vcpu, 1, write)) };
    assert_eq!(meet(2 * MS, &[locked(0, true), locked(1, true)]).races(), []);
    assert_eq!(meet(2 * MS, &[locked(0, true), access(at(1, 2, false))]).races().len(), 1);
    // Its first part is followed by the second at once.
    assert_eq!(meet(2 * MS, &[locked(0, false), access(at(1, 2, true))]).races(), []);
}

#[test]
fn the_same_instructions_are_one_race() {
    let accesses = [at(0, 1, true), at(1, 2, true), at(0, 9, true), at(1, 1, true), at(0, 2, true)];
    let state = meet(MS + MS / 2, &accesses.map(access));
    let times: Vec<_> = state.races().iter().map(|race| race.times).collect();
    assert_eq!(times, [2, 1, 1]);
}

#[test]
fn not_all_vcpus_are_held_at_once() {
    let accesses = [at(0, 1, true), at(1, 2, true), at(2, 3, true), at(3, 4, true)];
    assert_eq!(meet(10 * MS, &accesses.map(access)).tally().holds, 3);
}

#[test]
fn frequent_accesses_are_held_ever_more_seldom() {
    let mut state = State::new(2);
    let mut asked = Vec::new();
    for _ in 0..4 * ALWAYS {
        let chosen = |chances| {
            asked.push(chances);
            false
        };
        state.add(&[0], &mut access(at(0, 1, true)), MS, chosen, |_| ());
    }
    assert_eq!(asked.len() as u64, 3 * ALWAYS);
    assert_eq!((asked[0], asked[asked.len() - 1]), (1, 4));
}

#[test]
fn known_instructions_keep_their_counts_when_there_is_no_room_for_others() {
    let mut state = State::new(2);
    let mut is_held = |rip| state.add(&[0], &mut access(at(0, rip, true)), MS, |_| false, |_| ());
    for rip in 0..MAX_SITES as u64 {
        assert!(is_held(1 + rip));
    }
    // The others share a count, and use it up.
    for rip in 0..ALWAYS {
        assert!(is_held(0x10_0000 + rip));
    }
    assert!(!is_held(0x20_0000));
    for _ in 1..ALWAYS {
        assert!(is_held(1));
    }
    assert!(!is_held(1));
}

#[test]
fn stacks_are_completed_only_where_they_are_told() {
    let mut state = State::new(3);
    let mut completed = |access: Access, is_chosen: bool| {
        let (mut access, mut completed) = (access, false);
        let complete = |access: &mut Access| {
            access.stack.push(access.stack[0]);
            completed = true;
        };
        let site = access.site();
        state.sites.insert(site, ALWAYS);
        if state.add(&[0], &mut access, MS, |_| is_chosen, complete) {
            state.hold(vec![0], access, MS, MS);
        }
        completed
    };
    assert!(!completed(access(at(0, 1, true)), false));
    assert!(completed(access(at(0, 1, true)), true));
    assert!(!completed(Access { address: 0x2000, ..access(at(1, 2, false)) }, false));
    assert!(completed(access(at(1, 2, false)), false));
    let race = &state.races()[0];
    assert_eq!((race.held.stack.len(), race.other.stack.len()), (2, 2));
}

#[test]
fn each_variable_has_its_own_tally() {
    let mut state = State::new(2);
    for (touched, access) in [
        (vec![0], access(at(0, 1, true))),
        (vec![0, 2], access(at(1, 2, false))),
        (vec![2], access(at(1, 3, true))),
    ] {
        state.add(&touched, &mut access.clone(), MS, |_| false, |_| ());
        state.hold(touched, access, MS, MS);
    }
    state.skip(&[2]);
    assert_eq!(
        (state.tally().reads.clone(), state.tally().writes.clone()),
        (vec![0, 1], vec![1, 1])
    );
    assert_eq!((state.tally().holds, state.tally().unknown), (3, 1));
    let blind = |number| state.tally_of(number).blind();
    assert_eq!((blind(0), state.tally_of(0).holds), (None, 2));
    // What is known of one variable tells nothing of another.
    assert_eq!((blind(1), blind(2)), (Some(Blind::NotAccessed), Some(Blind::OneVcpu)));
    assert_eq!((state.tally_of(2).unknown, state.tally_of(0).unknown), (1, 0));
    assert_eq!(blind(7), Some(Blind::NotAccessed), "its number was never seen");
}

/// Of two variables in one place, each has accesses that the other has not.
#[test]
fn accesses_meet_where_their_variables_overlap() {
    let mut state = State::new(2);
    let wide = Access { size: 8, ..access(at(0, 1, true)) };
    let behind = Access { address: 0x1004, ..access(at(1, 2, false)) };
    for (touched, access) in [(vec![0, 1], wide), (vec![1], behind)] {
        state.add(&touched, &mut access.clone(), MS, |_| false, |_| ());
        state.hold(touched, access, MS, MS);
    }
    assert_eq!(state.races().iter().map(|race| race.variable).collect::<Vec<_>>(), [1]);
}
