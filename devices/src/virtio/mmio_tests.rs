use proptest::prelude::*;
use virtio_bindings::virtio_mmio::*;

use super::super::testing::*;
use super::*;
use crate::testing::wired;

const F3: u64 = 1 << 3;
const INDIRECT_DESCRIPTORS: u64 = 1 << 28;
const EVENT_INDEX: u64 = 1 << 29;
const MODERN: u64 = 1 << 32;

fn driver() -> Driver<Echo> {
    Driver::new(Echo::default())
}

#[test]
fn the_registers_that_identify_the_device() {
    let mut driver = driver();
    assert_eq!(driver.get(0x000), 0x7472_6976);
    assert_eq!(driver.get(0x004), 2);
    assert_eq!(driver.get(0x008), 42);
    assert_eq!(driver.get(0x00c), VENDOR);
    assert_eq!(driver.get(0x0fc), 0);
    assert_eq!(driver.features(), F3 | INDIRECT_DESCRIPTORS | EVENT_INDEX | MODERN);
    driver.set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    assert_eq!(driver.get(VIRTIO_MMIO_DEVICE_FEATURES), 0);
    for shared_memory in [0xb0, 0xb4, 0xb8, 0xbc] {
        assert_eq!(driver.get(shared_memory), u32::MAX);
    }
    for write_only in [0x14, 0x20, 0x24, 0x30, 0x38, 0x50, 0x64, 0x80, 0x84, 0x90, 0xa0] {
        assert_eq!(driver.get(write_only), 0, "{write_only:#x}");
    }
}

#[test]
fn the_configuration_is_read_with_any_width() {
    let mut driver = driver();
    let mut read = |offset: u64, length: usize| {
        let mut data = vec![0xee; length];
        let at = Address::Memory(SLOT.address + 0x100 + offset);
        wired(&mut driver.lines, |wiring| driver.device.read(at, &mut data, wiring));
        data
    };
    assert_eq!(read(0, 1), [1]);
    assert_eq!(read(2, 2), [3, 4]);
    assert_eq!(read(0, 8), [1, 2, 3, 4, 5, 6, 0, 0]);
    assert_eq!(read(0xeff, 1), [0]);
}

#[test]
fn only_aligned_words_reach_a_control_register() {
    let mut driver = driver();
    for (offset, length) in [(0, 1), (0, 2), (0, 8), (1, 4), (2, 4)] {
        let mut data = vec![0xee; length];
        let at = Address::Memory(SLOT.address + offset);
        wired(&mut driver.lines, |wiring| driver.device.read(at, &mut data, wiring));
        assert_eq!(data, vec![0; length]);
    }
    for data in [&[1][..], &[1, 0], &[1, 0, 0, 0, 0, 0, 0, 0]] {
        let at = Address::Memory(SLOT.address + u64::from(VIRTIO_MMIO_STATUS));
        wired(&mut driver.lines, |wiring| driver.device.write(at, data, wiring));
        assert_eq!(driver.status(), 0);
    }
}

#[test]
fn features_must_be_a_subset_and_modern() {
    for (features, agreed) in [
        (MODERN, true),
        (MODERN | F3, true),
        (F3, false),
        (0, false),
        (MODERN | 1 << 4, false),
        (MODERN | 1 << 63, false),
    ] {
        let mut driver = driver();
        driver.set_status(3);
        driver.accept(features);
        driver.set_status(0xb);
        assert_eq!(driver.status(), if agreed { 0xb } else { 3 }, "{features:#x}");
        // A driver that doesn't look goes no further.
        driver.set_status(0xf);
        assert_eq!(driver.status() == 0xf, agreed);
    }
}

#[test]
fn a_feature_beyond_all_that_exist_is_refused() {
    let mut driver = driver();
    driver.set_status(3);
    driver.accept(MODERN);
    driver.set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
    driver.set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
    driver.set_status(0xb);
    assert_eq!(driver.status(), 3);
}

#[test]
fn features_are_fixed_once_agreed_upon() {
    let mut driver = driver();
    driver.negotiate(MODERN);
    driver.accept(MODERN | F3);
    assert!(!driver.device.transport.has_feature(3));
    assert!(driver.device.transport.has_feature(32));
}

#[test]
fn a_queue_is_set_up_between_features_and_driver_ok() {
    let mut driver = driver();
    driver.set_up_queue();
    driver.set(VIRTIO_MMIO_QUEUE_READY, 1);
    assert_eq!((driver.get(VIRTIO_MMIO_QUEUE_READY), driver.status()), (0, 0));
    driver.negotiate(!0);
    assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_NUM_MAX), 16);
    driver.set_up_queue();
    driver.set(VIRTIO_MMIO_QUEUE_READY, 1);
    assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_READY), 1);
    // A queue that is ready keeps its place.
    driver.set(VIRTIO_MMIO_QUEUE_NUM, 3);
    assert_eq!(driver.device.transport.queues[0].size, 8);
    driver.set(VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_READY), 0);
    driver.set(VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_NUM_MAX), 4);
    driver.set(VIRTIO_MMIO_QUEUE_SEL, 2);
    assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    driver.set(VIRTIO_MMIO_QUEUE_READY, 1);
    assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_READY), 0);
}

#[test]
fn a_queue_that_makes_no_sense_needs_a_reset() {
    let cases = [
        (VIRTIO_MMIO_QUEUE_NUM, 0),
        (VIRTIO_MMIO_QUEUE_NUM, 3),
        (VIRTIO_MMIO_QUEUE_NUM, 32),
        (VIRTIO_MMIO_QUEUE_NUM, 0x1_0008),
        (VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1008),
        (VIRTIO_MMIO_QUEUE_DESC_HIGH, 1),
        (VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0),
        (VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x3001),
        (VIRTIO_MMIO_QUEUE_AVAIL_HIGH, u32::MAX),
        (VIRTIO_MMIO_QUEUE_USED_LOW, 0x4002),
        (VIRTIO_MMIO_QUEUE_USED_LOW, MEMORY as u32 - 8),
    ];
    for (register, value) in cases {
        let mut driver = driver();
        driver.negotiate(!0);
        driver.set_up_queue();
        driver.set(register, value);
        driver.set(VIRTIO_MMIO_QUEUE_READY, 1);
        assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_READY), 0, "{register:#x} = {value:#x}");
        assert_eq!(driver.status(), 0x4b);
        // The driver has not begun: it sees the status, and gets no interrupt.
        assert_eq!((driver.pulses(), driver.get(VIRTIO_MMIO_INTERRUPT_STATUS)), (0, 0));
    }
}

#[test]
fn a_request_comes_back_with_an_interrupt() {
    let mut driver = Driver::ready(Echo::default());
    driver.put(BUFFERS, b"hello");
    driver.chain(2, &[(BUFFERS, 5, 0), (BUFFERS + 0x100, 8, WRITE)]);
    driver.offer(2);
    assert_eq!(driver.used(), 0);
    driver.notify();
    assert_eq!((driver.used(), driver.last_used()), (1, (2, 5)));
    assert_eq!(driver.bytes(BUFFERS + 0x100, 5), b"hello");
    assert_eq!((driver.pulses(), driver.get(VIRTIO_MMIO_INTERRUPT_STATUS)), (1, 1));
    driver.set(VIRTIO_MMIO_INTERRUPT_ACK, 2);
    assert_eq!(driver.get(VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    driver.set(VIRTIO_MMIO_INTERRUPT_ACK, 1);
    assert_eq!(driver.get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    // An event that is not acknowledged still pulses again.
    for _ in 0..2 {
        driver.offer(2);
        driver.notify();
        assert_eq!(driver.pulses(), 1);
    }
}

#[test]
fn a_driver_may_ask_for_no_interrupt() {
    let mut driver = Driver::ready(Echo::default());
    driver.put(AVAILABLE, &1u16.to_le_bytes());
    driver.chain(0, &[(BUFFERS, 5, 0)]);
    driver.offer(0);
    driver.notify();
    assert_eq!((driver.used(), driver.pulses()), (1, 0));
}

#[test]
fn a_driver_may_ask_for_an_interrupt_at_an_index() {
    let mut driver = driver();
    driver.start(!0);
    driver.put(AVAILABLE + 4 + 2 * 8, &1u16.to_le_bytes());
    driver.chain(0, &[(BUFFERS, 5, 0)]);
    driver.offer(0);
    driver.notify();
    assert_eq!((driver.used(), driver.pulses()), (1, 0));
    // The device asks for the next notification.
    assert_eq!(driver.bytes(USED + 4 + 8 * 8, 2), [1, 0]);
    driver.offer(0);
    driver.notify();
    assert_eq!((driver.used(), driver.pulses()), (2, 1));
}

#[test]
fn nothing_is_used_before_driver_ok_or_after_failed() {
    let mut driver = driver();
    driver.negotiate(!0);
    driver.set_up_queue();
    driver.set(VIRTIO_MMIO_QUEUE_READY, 1);
    driver.chain(0, &[(BUFFERS, 5, 0)]);
    driver.offer(0);
    driver.notify();
    assert_eq!(driver.used(), 0);
    driver.set_status(0x8f);
    driver.notify();
    driver.set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    driver.set(VIRTIO_MMIO_QUEUE_NOTIFY, u32::MAX);
    assert_eq!(driver.used(), 0);
}

#[test]
fn a_broken_ring_needs_a_reset_and_tells_the_driver() {
    type Break = fn(&mut Driver<Echo>);
    let cases: [(&str, Break); 8] = [
        ("more requests than the queue holds", |d| d.put(AVAILABLE + 2, &[9, 0])),
        ("a head outside the table", |d| d.offer(8)),
        ("a next outside the table", |d| {
            d.describe(DESCRIPTORS, 0, (BUFFERS, 8, NEXT, 8));
            d.offer(0);
        }),
        ("a loop", |d| {
            d.describe(DESCRIPTORS, 0, (BUFFERS, 8, NEXT, 0));
            d.offer(0);
        }),
        ("a read behind a write", |d| {
            d.chain(0, &[(BUFFERS, 8, WRITE), (BUFFERS, 8, 0)]);
            d.offer(0);
        }),
        ("an indirect table of half a descriptor", |d| {
            d.describe(DESCRIPTORS, 0, (BUFFERS, 8, INDIRECT, 0));
            d.offer(0);
        }),
        ("an indirect table in an indirect table", |d| {
            d.describe(DESCRIPTORS, 0, (BUFFERS, 16, INDIRECT, 0));
            d.describe(BUFFERS, 0, (BUFFERS, 16, INDIRECT, 0));
            d.offer(0);
        }),
        ("a buffer outside memory", |d| {
            d.chain(0, &[(MEMORY, 8, 0)]);
            d.offer(0);
        }),
    ];
    for (name, break_it) in cases {
        let mut driver = Driver::ready(Echo::default());
        break_it(&mut driver);
        driver.notify();
        assert_eq!(driver.status(), 0x4f, "{name}");
        assert_eq!(driver.get(VIRTIO_MMIO_INTERRUPT_STATUS), 2, "{name}");
        assert_eq!((driver.pulses(), driver.used()), (1, 0), "{name}");
        // The device does nothing more, until it is reset.
        driver.chain(0, &[(BUFFERS, 8, 0)]);
        driver.offer(0);
        driver.notify();
        assert_eq!((driver.pulses(), driver.used()), (0, 0), "{name}");
        driver.start(MODERN);
        driver.chain(0, &[(BUFFERS, 8, 0)]);
        driver.offer(0);
        driver.notify();
        assert_eq!((driver.pulses(), driver.used()), (1, 1), "{name}");
    }
}

#[test]
fn an_indirect_chain_is_no_longer_than_the_queue() {
    for (length, status) in [(8u16, 0xf), (9, 0x4f)] {
        let mut driver = Driver::ready(Echo::default());
        driver.describe(DESCRIPTORS, 0, (BUFFERS, 16 * u32::from(length), INDIRECT, 0));
        for number in 0..length {
            let flags = if number + 1 < length { NEXT } else { 0 };
            driver.describe(BUFFERS, number, (BUFFERS + 0x1000, 1, flags, number + 1));
        }
        driver.offer(0);
        driver.notify();
        assert_eq!(driver.status(), status);
    }
}

#[test]
fn a_reset_forgets_everything() {
    let mut driver = Driver::ready(Echo::default());
    driver.chain(0, &[(BUFFERS, 5, 0)]);
    driver.offer(0);
    driver.notify();
    driver.set_status(0);
    assert_eq!(driver.device.kind.resets, 2);
    assert_eq!((driver.status(), driver.get(VIRTIO_MMIO_INTERRUPT_STATUS)), (0, 0));
    assert_eq!(driver.get(VIRTIO_MMIO_QUEUE_READY), 0);
    driver.offer(0);
    driver.notify();
    assert_eq!(driver.used(), 1);
}

#[test]
fn a_saved_state_goes_on() {
    let mut driver = Driver::ready(Echo::default());
    driver.chain(0, &[(BUFFERS, 5, 0)]);
    driver.offer(0);
    driver.notify();
    let saved = driver.device.save();
    driver.set_status(0);
    driver.device.restore(&saved).unwrap();
    driver.offer(0);
    driver.notify();
    assert_eq!((driver.used(), driver.status()), (2, 0xf));
    assert_eq!(driver.device.restore(&State::new(7)), Err(ForeignState));
}

proptest! {
    /// Whatever a guest writes to registers and rings: no panic, and a reset leads out.
    #[test]
    fn any_writes_are_survived(
        writes in prop::collection::vec((0u32..0x110, any::<u32>(), any::<bool>()), 0..60),
        rings in prop::collection::vec(any::<u8>(), 256),
    ) {
        let mut driver = Driver::ready(Echo::default());
        driver.put(DESCRIPTORS, &rings[..128]);
        driver.put(AVAILABLE, &rings[128..160]);
        driver.put(USED, &rings[160..]);
        for (offset, value, small) in writes {
            driver.set(offset & !3, if small { value & 0xf } else { value });
            driver.get(offset);
            driver.notify();
        }
        driver.start(MODERN);
        driver.chain(0, &[(BUFFERS, 8, 0)]);
        driver.offer(0);
        driver.notify();
        prop_assert_eq!(driver.used(), 1);
    }
}
