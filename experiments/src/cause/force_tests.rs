use super::*;
use Choice::{Interrupt, Step};

fn program_point(rip: u64) -> ProgramPoint {
    ProgramPoint { rip, visit: 1 }
}

fn keeps(forcing: &Forcing, choice: Choice, rip: u64) -> bool {
    forcing.keeps(choice, program_point(rip))
}

#[test]
fn what_comes_later_is_held_until_what_comes_first_has_happened() {
    let order = Order {
        first: Event::Access(0, program_point(0x10)),
        then: Event::Access(1, program_point(0x20)),
    };
    let rules = Rules::from(vec![order]);
    let mut forcing = Forcing::new(&rules, &[], 1, 0);
    assert!(!keeps(&forcing, Step(1), 0x20));
    assert!(keeps(&forcing, Step(1), 0x30) && keeps(&forcing, Step(0), 0x20));
    // Another visit is another event.
    assert!(forcing.keeps(Step(1), ProgramPoint { rip: 0x20, visit: 2 }));
    forcing.happens(Step(0), program_point(0x10));
    assert!(keeps(&forcing, Step(1), 0x20));
}

#[test]
fn an_interrupt_is_taken_behind_the_access_that_the_vcpu_stands_before() {
    let taken = Rules::from(vec![Order::taken_at(0, program_point(0x10))]);
    let forcing = Forcing::new(&taken, &[], 1, 0);
    assert!(!keeps(&forcing, Step(0), 0x10) && keeps(&forcing, Interrupt(0), 0x10));

    let access = Event::Access(0, program_point(0x10));
    let behind = Rules::from(vec![Order { first: access, then: Event::Interrupt(0) }]);
    let forcing = Forcing::new(&behind, &[], 1, 0);
    assert!(!keeps(&forcing, Interrupt(0), 0x8) && keeps(&forcing, Interrupt(0), 0x10));
}

#[test]
fn a_region_is_closed_to_others_while_somebody_is_in_it() {
    let region = Region { first: 0x10, last: 0x20, others: [0x30].into() };
    let rules = Rules { orders: Vec::new(), regions: vec![region] };
    let mut forcing = Forcing::new(&rules, &[], 1, 0);
    assert!(keeps(&forcing, Step(1), 0x30));
    forcing.happens(Step(0), program_point(0x10));
    assert!(!keeps(&forcing, Step(1), 0x30) && keeps(&forcing, Step(0), 0x30));
    forcing.happens(Step(0), program_point(0x20));
    assert!(keeps(&forcing, Step(1), 0x30));
}
