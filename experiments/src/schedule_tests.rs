use super::*;

#[test]
fn what_is_written_is_read_back() {
    let mut schedule = Schedule::default();
    for choice in [
        Choice::Step(0),
        Choice::Step(0),
        Choice::Interrupt(3),
        Choice::Interrupt(3),
        Choice::Step(3),
    ] {
        schedule.push(choice);
    }
    assert_eq!(schedule.to_string(), "0@2>3!>3!>3@1");
    assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()));
    assert_eq!((schedule.points(), schedule.choices().count()), (5, 5));
    assert_eq!("".parse(), Ok(Schedule::default()));
}

#[test]
fn what_is_no_schedule_is_refused() {
    for bad in [
        "0",
        "0@",
        "@3",
        "x@3",
        "0@0",
        "0@3>",
        ">",
        "0@-1",
        "0@99999999999999999999",
        "!",
        "0@200000000",
    ] {
        assert!(bad.parse::<Schedule>().is_err(), "{bad}");
    }
}
