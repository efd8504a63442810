use super::*;

const F: u64 = 0x1000;
const G: u64 = 0x2000;
const BACK: u64 = 0x3005;

fn point(access: Access, start: u64, length: u64) -> Address {
    Address { access, start, length }
}

fn frame(stack: u64, back: u64) -> Frame {
    Frame { stack, back, width: 8, cr3: 0 }
}

fn stops(points: &[Address]) -> Stops {
    Stops::new(points.iter().copied())
}

/// A vCPU reaches the first instruction of a function.
fn call(stops: &mut Stops, function: u64, stack: u64, back: u64) -> Reached {
    stops.reach(function, stack, Some(frame(stack, back)), |_| true)
}

/// A vCPU reaches any other address.
fn pass(stops: &mut Stops, address: u64, stack: u64) -> Reached {
    stops.reach(address, stack, None, |_| true)
}

#[test]
fn entrances_and_offsets_are_one_address_each() {
    let (enter, offset) = (point(Access::Enter, F, 1), point(Access::Offset, F + 4, 1));
    let mut stops = stops(&[enter, offset]);
    assert_eq!(stops.wanted(), [F, F + 4]);
    assert!(!stops.follows(F));
    assert_eq!(pass(&mut stops, F, 0x80).points, [enter]);
    assert_eq!(pass(&mut stops, F + 4, 0x80).points, [offset]);
    assert_eq!(stops.wanted(), [F, F + 4]);
}

#[test]
fn a_return_is_wanted_while_its_call_is_on_its_way() {
    let exit = point(Access::Exit, F, 1);
    let mut stops = stops(&[exit]);
    assert_eq!(call(&mut stops, F, 0x80, BACK), Reached::default());
    assert_eq!(stops.wanted(), [F, BACK]);
    // Another caller passes through the address, in a deeper frame.
    assert_eq!(pass(&mut stops, BACK, 0x40), Reached::default());
    assert_eq!(pass(&mut stops, BACK, 0x88).points, [exit]);
    assert_eq!(stops.wanted(), [F]);
    assert_eq!(pass(&mut stops, BACK, 0x88).points, []);
}

#[test]
fn each_call_of_a_recursion_returns_once() {
    let exit = point(Access::Exit, F, 1);
    let mut stops = stops(&[exit]);
    for stack in [0x80, 0x60, 0x40] {
        call(&mut stops, F, stack, BACK);
    }
    assert_eq!(stops.wanted(), [F, BACK]);
    for stack in [0x48, 0x68, 0x88] {
        assert_eq!(pass(&mut stops, BACK, stack).points, [exit]);
    }
    assert_eq!(stops.wanted(), [F]);
}

#[test]
fn functions_that_return_together_return_in_the_order_of_their_ends() {
    let (f, g) = (point(Access::Exit, F, 1), point(Access::Exit, G, 1));
    let mut stops = stops(&[f, g]);
    call(&mut stops, F, 0x80, BACK);
    // A tail call, with the same stack.
    call(&mut stops, G, 0x80, BACK);
    assert_eq!(pass(&mut stops, BACK, 0x88).points, [g, f]);
}

#[test]
fn a_call_whose_return_address_is_gone_is_given_up_and_told() {
    let (f, g) = (point(Access::Exit, F, 1), point(Access::Exit, G, 1));
    let mut stops = stops(&[f, g]);
    call(&mut stops, F, 0x80, BACK);
    let gone = stops.reach(G, 0x100, Some(frame(0x100, 0x4000)), |frame| frame.stack != 0x80);
    assert_eq!(gone, Reached { points: vec![], lost: vec![F] });
    assert_eq!(stops.wanted(), [F, G, 0x4000]);
    // Called again from the same place, with the same stack: the first call can't return any more.
    assert_eq!(call(&mut stops, G, 0x100, 0x4000).lost, [G]);
    assert_eq!(stops.calls.len(), 1);
    // A stack in another address space can't be read.
    let other = Some(Frame { cr3: 1, ..frame(0x100, 0x4000) });
    assert!(stops.reach(G, 0x100, other, |_| false).lost.is_empty());
    // A stack that can't be read at all is reported as a lost call.
    assert_eq!(stops.reach(F, 0x100, None, |_| true).lost, [F]);
}

#[test]
fn calls_that_never_return_are_bounded() {
    let mut stops = stops(&[point(Access::Exit, F, 1)]);
    let mut lost = 0;
    for number in 0..3 * MAX_CALLS as u64 {
        lost += call(&mut stops, F, number * 16, BACK + number % 7).lost.len();
    }
    assert_eq!((stops.calls.len(), lost), (MAX_CALLS, 2 * MAX_CALLS));
}

#[test]
fn a_function_is_stepped_through_while_a_call_of_it_is_on_its_way() {
    let step = point(Access::Step, F, 4);
    let mut stops = stops(&[step]);
    assert_eq!(stops.wanted(), [F]);
    assert_eq!(call(&mut stops, F, 0x80, BACK).points, [step]);
    assert_eq!(stops.wanted(), [F, F + 1, F + 2, F + 3, BACK]);
    assert_eq!(pass(&mut stops, F + 2, 0x70).points, [step]);
    assert_eq!(pass(&mut stops, BACK, 0x88).points, []);
    assert_eq!(stops.wanted(), [F]);
}
