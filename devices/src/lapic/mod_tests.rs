use proptest::prelude::*;

use super::*;

#[test]
fn after_power_up() {
    let lapic = Lapic::new(3, false);
    for (offset, value) in [
        (reg::ID, 3 << 24),
        (reg::VERSION, 0x0005_0014),
        (reg::TPR, 0),
        (reg::LDR, 0),
        (reg::DFR, 0xffff_ffff),
        (reg::SVR, 0xff),
        (reg::ESR, 0),
        (reg::ICR_LOW, 0),
        (reg::INITIAL_COUNT, 0),
        (reg::CURRENT_COUNT, 0),
        (reg::DIVIDE, 0),
    ] {
        assert_eq!(lapic.read(offset, 0), value, "{offset:#x}");
    }
    assert!(!lapic.enabled());
    assert_eq!(lapic.base_register(), 0xfee0_0800);
    assert_eq!(Lapic::new(0, true).base_register(), 0xfee0_0900);
}

#[test]
fn init_keeps_the_id() {
    let mut lapic = Lapic::new(3, false);
    lapic.write(reg::SVR, 0x1ff, 0);
    lapic.write(reg::LDR, 8 << 24, 0);
    lapic.write(reg::INITIAL_COUNT, 100, 0);
    lapic.accept(0x31, true);
    lapic.acknowledge();
    lapic.reset();
    assert_eq!(lapic, Lapic::new(3, false));
}

#[test]
fn read_only_registers_stay() {
    let mut lapic = Lapic::new(3, false);
    lapic.write(reg::SVR, 0x1ff, 0);
    let before = lapic.clone();
    for offset in
        [reg::ID, reg::VERSION, reg::APR, reg::PPR, reg::ISR, reg::IRR + 0x70, reg::CURRENT_COUNT]
    {
        assert_eq!(lapic.write(offset, u32::MAX, 0), Effect::None);
        assert_eq!(lapic, before, "{offset:#x}");
    }
}

#[test]
fn parts_of_a_register() {
    let mut lapic = Lapic::new(3, false);
    assert_eq!(lapic.read(reg::ID + 3, 0), 3);
    assert_eq!(lapic.read(reg::ID + 4, 0), 0);
    lapic.write(reg::TPR + 4, 0xff, 0);
    lapic.write(reg::TPR + 1, 0xff, 0);
    assert_eq!(lapic.read(reg::TPR, 0), 0);
}

/// A step that a machine of four LAPICs can perform.
#[derive(Clone, Debug)]
enum Step {
    Write { cpu: usize, offset: u32, value: u32 },
    Read { cpu: usize, offset: u32 },
    Accept { cpu: usize, vector: u8, level: bool },
    Acknowledge { cpu: usize },
    Pin { cpu: usize, lint0: bool, asserted: bool },
    Cr8 { cpu: usize, value: u8 },
    Later { by: u64 },
    Deadline,
    Reset { cpu: usize },
}

fn step() -> impl Strategy<Value = Step> {
    // Existing registers more often than other offsets; small numbers more often than other values.
    let offset = prop_oneof![6 => (0u32..0x40).prop_map(|it| it * 16), 1 => any::<u32>()];
    let value = prop_oneof![any::<u32>(), 0u32..0x200, (0u32..32).prop_map(|bit| 1 << bit)];
    let cpu = 0usize..4;
    prop_oneof![
        8 => (cpu.clone(), offset.clone(), value)
            .prop_map(|(cpu, offset, value)| Step::Write { cpu, offset, value }),
        2 => (cpu.clone(), Just(reg::SVR), 0x100u32..0x200)
            .prop_map(|(cpu, offset, value)| Step::Write { cpu, offset, value }),
        1 => (cpu.clone(), offset).prop_map(|(cpu, offset)| Step::Read { cpu, offset }),
        4 => (cpu.clone(), any::<u8>(), any::<bool>())
            .prop_map(|(cpu, vector, level)| Step::Accept { cpu, vector, level }),
        4 => cpu.clone().prop_map(|cpu| Step::Acknowledge { cpu }),
        2 => (cpu.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(cpu, lint0, asserted)| Step::Pin { cpu, lint0, asserted }),
        1 => (cpu.clone(), any::<u8>()).prop_map(|(cpu, value)| Step::Cr8 { cpu, value }),
        2 => prop_oneof![0u64..10_000, any::<u64>()].prop_map(|by| Step::Later { by }),
        2 => Just(Step::Deadline),
        1 => cpu.prop_map(|cpu| Step::Reset { cpu }),
    ]
}

fn advance(lapics: &mut [Lapic], now: u64) {
    for lapic in lapics {
        lapic.advance(now);
    }
}

/// Performs a step; IPIs are delivered at once.
fn play(lapics: &mut [Lapic], now: &mut u64, step: &Step) {
    match *step {
        Step::Write { cpu, offset, value } => {
            let Effect::Ipi(ipi) = lapics[cpu].write(offset, value, *now) else { return };
            let targets = ipi.targets(lapics);
            assert_eq!(targets >> lapics.len(), 0);
            if let Some(vector) = ipi.vector() {
                assert!(vector >= 16);
                let reached = lapics.iter_mut().enumerate().filter(|it| targets >> it.0 & 1 != 0);
                reached.for_each(|(_, lapic)| {
                    lapic.accept(vector, false);
                });
            }
        }
        Step::Read { cpu, offset } => {
            lapics[cpu].read(offset, *now);
        }
        Step::Accept { cpu, vector, level } => {
            lapics[cpu].accept(vector, level);
        }
        Step::Acknowledge { cpu } => {
            let pending = lapics[cpu].pending();
            assert_eq!(lapics[cpu].acknowledge(), pending);
        }
        Step::Pin { cpu, lint0, asserted } => {
            lapics[cpu].set_pin(if lint0 { Pin::Lint0 } else { Pin::Lint1 }, asserted);
        }
        Step::Cr8 { cpu, value } => lapics[cpu].set_cr8(value),
        Step::Later { by } => {
            *now = now.saturating_add(by);
            advance(lapics, *now);
        }
        Step::Deadline => {
            if let Some(next) = lapics.iter().filter_map(Lapic::next_deadline).min() {
                assert!(next > *now, "what is due has been taken");
                *now = next;
                advance(lapics, *now);
            }
        }
        Step::Reset { cpu } => lapics[cpu].reset(),
    }
}

proptest! {
    #[test]
    fn whatever_the_guest_does(steps in prop::collection::vec(step(), 1..200)) {
        let mut lapics: Vec<_> = (0..4).map(|id| Lapic::new(id, id == 0)).collect();
        let mut now = 0;
        for step in steps {
            play(&mut lapics, &mut now, &step);
            for lapic in &lapics {
                let illegal = |set: &Vectors| set.register(0) & 0xffff;
                prop_assert_eq!(illegal(&lapic.requested), 0, "IRR");
                prop_assert_eq!(illegal(&lapic.in_service), 0, "ISR");
                let ppr = lapic.processor_priority();
                prop_assert!(ppr >> 4 >= lapic.cr8());
                prop_assert!(ppr >> 4 >= lapic.in_service.highest().unwrap_or(0) >> 4);
                match lapic.pending() {
                    Some(vector) => {
                        prop_assert!(lapic.enabled() && vector >> 4 > ppr >> 4);
                        prop_assert_eq!(lapic.requested.highest(), Some(vector));
                    }
                    None => prop_assert!(
                        !lapic.enabled() || lapic.requested.highest().unwrap_or(0) >> 4 <= ppr >> 4
                    ),
                }
            }
        }
    }

    /// A deadline causes an interrupt, and nothing changes before it.
    #[test]
    fn a_deadline_is_the_first_change(steps in prop::collection::vec(step(), 1..100)) {
        let mut lapics: Vec<_> = (0..4).map(|id| Lapic::new(id, id == 0)).collect();
        let mut now = 0;
        for step in steps {
            play(&mut lapics, &mut now, &step);
            for lapic in &lapics {
                let mut later = lapic.clone();
                if let Some(deadline) = lapic.next_deadline() {
                        later.advance(deadline - 1);
                        prop_assert_eq!(&later, lapic);
                        later.advance(deadline);
                        prop_assert_ne!(&later, lapic);
                } else {
                        later.advance(u64::MAX);
                        prop_assert_eq!(&later, lapic);
                }
            }
        }
    }
}
