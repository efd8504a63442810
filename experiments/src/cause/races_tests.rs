use super::*;
use crate::cause::schedule_state::ProgramPoint;
use vmm::end::End;

const DATA: u64 = 0x1000;
const LOCK: u64 = 0x2000;

/// A run of these accesses: vCPU, kind, target and value.
fn run(accesses: &[(u32, Kind, Target, u64)]) -> Run {
    let step = |(number, (vcpu, kind, target, value)): (u64, &(u32, Kind, Target, u64))| Step {
        point: number,
        hash: 0,
        choice: Choice::Step(*vcpu),
        transitions: Vec::new(),
        by_itself: Choice::Step(*vcpu),
        left: None,
        program_point: ProgramPoint { rip: 0x40_0000 + number, visit: 1 },
        access: Some(Access {
            kind: *kind,
            target: *target,
            size: 8,
            before: 0,
            value: *value,
            rip: 0x40_0000 + number,
            interrupted: None,
            stack: Vec::new(),
        }),
        sends: None,
        taken: None,
        turns_off: false,
        runs: true,
        halts: false,
    };
    let steps = (0..).zip(accesses).map(step).collect();
    Run { steps, ending: End::Guest { code: 0 }, failure: None }
}

fn found(run: &Run) -> Vec<(usize, usize)> {
    unordered(run, 2).iter().map(|(first, second)| (first.step, second.step)).collect()
}

const ON_DATA: Target = Target::Memory(DATA);
const ON_LOCK: Target = Target::Memory(LOCK);

#[test]
fn plain_accesses_are_unordered_if_one_is_a_store() {
    use Kind::{Read, Write};
    assert_eq!(found(&run(&[(0, Write, ON_DATA, 1), (1, Read, ON_DATA, 1)])), [(0, 1)]);
    assert_eq!(found(&run(&[(0, Read, ON_DATA, 0), (1, Write, ON_DATA, 1)])), [(0, 1)]);
    assert_eq!(found(&run(&[(0, Read, ON_DATA, 0), (1, Read, ON_DATA, 0)])), []);
    assert_eq!(found(&run(&[(0, Write, ON_DATA, 1), (0, Read, ON_DATA, 1)])), []);
    assert_eq!(found(&run(&[(0, Write, ON_DATA, 1), (1, Read, Target::Memory(DATA + 8), 1)])), []);
    assert_eq!(
        found(&run(&[(0, Write, ON_DATA, 1), (1, Read, Target::Memory(DATA + 4), 1)])),
        [(0, 1)]
    );
}

#[test]
fn a_lock_that_is_given_back_by_a_plain_store_orders() {
    use Kind::{Read, Update, Write};
    let locked = [
        (0, Update, ON_LOCK, 1),
        (0, Write, ON_DATA, 1),
        (0, Write, ON_LOCK, 0),
        (1, Read, ON_LOCK, 0),
        (1, Update, ON_LOCK, 1),
        (1, Write, ON_DATA, 2),
    ];
    assert_eq!(found(&run(&locked)), []);
    // Without the other vCPU's accesses to the lock there is no order.
    let half: Vec<_> = locked.iter().copied().filter(|a| a.2 == ON_DATA || a.0 == 0).collect();
    assert_eq!(found(&run(&half)), [(1, 3)]);
}

#[test]
fn an_ipi_orders_who_gets_it() {
    use Kind::{Read, Write};
    let to = |vcpu: u64| (0, Write, Target::Device(DESTINATION), vcpu << 24);
    let send = (0, Write, Target::Device(COMMAND), 0x20);
    // The access is vCPU 1's first step, and so after its start.
    let sent = [(0, Write, ON_DATA, 1), to(1), send, (1, Read, ON_DATA, 1)];
    assert_eq!(found(&run(&sent)), []);
    let elsewhere = [(0, Write, ON_DATA, 1), to(0), send, (1, Read, ON_DATA, 1)];
    assert_eq!(found(&run(&elsewhere)), [(0, 3)]);
    // An IPI that is not taken orders nothing.
    let mut later = run(&[(1, Read, ON_LOCK, 0), sent[0], sent[1], sent[2], sent[3]]);
    assert_eq!(found(&later), [(1, 4)]);
    later.steps[4].choice = Choice::Interrupt(1);
    assert_eq!(found(&later), []);
}
