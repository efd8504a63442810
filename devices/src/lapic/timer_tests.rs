use proptest::prelude::*;

use crate::lapic::{Effect, Lapic};

const SVR: u32 = 0x0f0;
const LVT_TIMER: u32 = 0x320;
const INITIAL: u32 = 0x380;
const CURRENT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;
const BY_1: u32 = 0b1011;
const PERIODIC: u32 = 1 << 17;
const MASKED: u32 = 1 << 16;
const VECTOR: u8 = 0xee;

/// An enabled LAPIC, with the timer's LVT entry and divider set.
fn lapic(entry: u32, divide: u32) -> Lapic {
    let mut lapic = Lapic::new(0, true);
    assert_eq!(lapic.write(SVR, 0x1ff, 0), Effect::None);
    lapic.write(DIVIDE, divide, 0);
    lapic.write(LVT_TIMER, entry | u32::from(VECTOR), 0);
    lapic
}

fn serve(lapic: &mut Lapic) -> Option<u8> {
    let vector = lapic.acknowledge();
    lapic.write(0x0b0, 0, 0);
    vector
}

#[test]
fn one_shot_fires_once_and_stops() {
    let mut lapic = lapic(0, BY_1);
    lapic.write(INITIAL, 1000, 500);
    assert_eq!(lapic.next_deadline(), Some(1500));
    assert_eq!(lapic.read(CURRENT, 500), 1000);
    assert_eq!(lapic.read(CURRENT, 1499), 1);
    assert_eq!(lapic.read(CURRENT, 1500), 0);
    lapic.advance(1499);
    assert_eq!(lapic.pending(), None);
    lapic.advance(1500);
    assert_eq!(lapic.pending(), Some(VECTOR));
    assert_eq!(lapic.next_deadline(), None);
    assert_eq!(serve(&mut lapic), Some(VECTOR));
    lapic.advance(u64::MAX);
    assert_eq!(lapic.pending(), None);
}

#[test]
fn every_divider() {
    for (code, divisor) in
        [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (BY_1, 1u64)]
    {
        let mut lapic = lapic(0, code);
        lapic.write(INITIAL, 10, 0);
        assert_eq!(lapic.next_deadline(), Some(10 * divisor), "code {code}");
        assert_eq!(lapic.read(CURRENT, divisor - 1), 10);
        assert_eq!(lapic.read(CURRENT, divisor), 9);
        assert_eq!(lapic.read(DIVIDE, 0), code);
    }
}

#[test]
fn a_new_divider_goes_on_from_the_count() {
    let mut lapic = lapic(0, BY_1);
    lapic.write(INITIAL, 1000, 0);
    lapic.write(DIVIDE, 0, 400);
    assert_eq!(lapic.read(CURRENT, 400), 600);
    assert_eq!(lapic.next_deadline(), Some(400 + 1200));
}

#[test]
fn expiries_that_nobody_took_are_one() {
    let mut lapic = lapic(PERIODIC, BY_1);
    lapic.write(INITIAL, 1_000_000, 0);
    lapic.advance(10_500_000);
    assert_eq!(serve(&mut lapic), Some(VECTOR));
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.next_deadline(), Some(11_000_000));
    assert_eq!(lapic.read(CURRENT, 10_500_000), 500_000);
}

#[test]
fn the_shortest_timer_leaves_time_between_interrupts() {
    let mut lapic = lapic(PERIODIC, BY_1);
    lapic.write(INITIAL, 30_000, 0);
    lapic.advance(30_000);
    assert_eq!(serve(&mut lapic), Some(VECTOR));
    // Seven periods have passed; the count continues as if no interrupt had been skipped.
    assert_eq!(lapic.next_deadline(), Some(240_000));
    assert_eq!(lapic.read(CURRENT, 30_001), 29_999);
    assert_eq!(lapic.read(CURRENT, 100_000), 20_000);
    lapic.write(INITIAL, 1, 240_000);
    assert_eq!(lapic.next_deadline(), Some(240_001));
    lapic.advance(240_001);
    assert_eq!(lapic.next_deadline(), Some(440_001));
}

#[test]
fn a_count_of_zero_stops() {
    let mut lapic = lapic(PERIODIC, BY_1);
    lapic.write(INITIAL, 100, 0);
    lapic.write(INITIAL, 0, 50);
    assert_eq!(lapic.next_deadline(), None);
    assert_eq!(lapic.read(CURRENT, 60), 0);
}

#[test]
fn masked_it_counts_and_is_not_heard() {
    let mut lapic = lapic(PERIODIC | MASKED, BY_1);
    lapic.write(INITIAL, 100, 0);
    assert_eq!(lapic.next_deadline(), None);
    assert_eq!(lapic.read(CURRENT, 230), 70);
    let before = lapic.clone();
    lapic.advance(1000);
    assert_eq!(lapic, before, "what can't be heard changes nothing");
    // Unmasked, it is still in step, and the earlier expiries are discarded.
    lapic.write(LVT_TIMER, PERIODIC | u32::from(VECTOR), 1050);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.next_deadline(), Some(1100));
}

#[test]
fn a_masked_one_shot_that_passed_is_gone() {
    let mut lapic = lapic(MASKED, BY_1);
    lapic.write(INITIAL, 100, 0);
    lapic.write(DIVIDE, 0, 200);
    lapic.write(LVT_TIMER, PERIODIC | u32::from(VECTOR), 300);
    assert_eq!((lapic.next_deadline(), lapic.pending()), (None, None));
}

#[test]
fn tsc_deadline_mode_is_not_offered() {
    let lapic = lapic(1 << 18, BY_1);
    assert_eq!(lapic.read(LVT_TIMER, 0), u32::from(VECTOR));
}

#[test]
fn the_end_of_the_clock_is_no_deadline() {
    let mut lapic = lapic(PERIODIC, 10);
    lapic.write(INITIAL, u32::MAX, u64::MAX - 5);
    assert_eq!(lapic.next_deadline(), None);
    lapic.advance(u64::MAX);
}

proptest! {
    /// The n-th interrupt comes at exactly n periods, however late the earlier ones were taken.
    #[test]
    fn periods_do_not_drift(
        initial in 1u32..100_000,
        code in 0u32..16,
        late in prop::collection::vec(0u64..1_000, 1..50),
    ) {
        let mut lapic = lapic(PERIODIC, code);
        let start = 12_345;
        lapic.write(INITIAL, initial, start);
        let period = lapic.next_deadline().unwrap() - start;
        for late in late {
            let deadline = lapic.next_deadline().unwrap();
            prop_assert_eq!((deadline - start) % period, 0);
            lapic.advance(deadline - 1);
            prop_assert_eq!(lapic.pending(), None);
            lapic.advance(deadline);
            prop_assert_eq!(serve(&mut lapic), Some(VECTOR));
            lapic.advance(deadline + late);
            // The next expiry that is not too soon after the last.
            let gap = 200_000u64.div_ceil(period) * period;
            prop_assert_eq!(lapic.next_deadline(), Some(deadline + gap));
            serve(&mut lapic);
        }
    }

    /// The count is the rest of the period, rounded up to whole steps.
    #[test]
    fn the_count_falls_from_initial(initial in 1u32.., code in 0u32..16, part in 0.0..1.0f64) {
        let mut lapic = lapic(0, code);
        lapic.write(INITIAL, initial, 0);
        let zero = lapic.next_deadline().unwrap();
        let now = ((zero as f64) * part) as u64;
        let divisor = zero / u64::from(initial);
        prop_assert_eq!(u64::from(lapic.read(CURRENT, now)), (zero - now).div_ceil(divisor));
    }
}
