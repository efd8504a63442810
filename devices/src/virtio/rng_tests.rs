use super::super::testing::*;
use super::*;

fn driver() -> Driver<Rng> {
    let mut next = 0u8;
    let source = move |bytes: &mut [u8]| {
        bytes.fill_with(|| {
            next = next.wrapping_add(1);
            next
        });
    };
    Driver::ready(Rng::new(source, || {}))
}

#[test]
fn buffers_are_filled() {
    let mut driver = driver();
    driver.chain(0, &[(BUFFERS, 3, WRITE), (BUFFERS + 0x100, 2, WRITE)]);
    driver.offer(0);
    driver.notify();
    assert_eq!((driver.last_used(), driver.pulses()), ((0, 5), 1));
    assert_eq!(driver.bytes(BUFFERS, 4), [1, 2, 3, 0]);
    assert_eq!(driver.bytes(BUFFERS + 0x100, 3), [4, 5, 0]);
}

#[test]
fn a_large_buffer_gets_a_part() {
    let mut driver = driver();
    driver.chain(0, &[(BUFFERS, 0x8000, WRITE)]);
    driver.offer(0);
    driver.notify();
    assert_eq!(driver.last_used(), (0, MOST_BYTES as u32));
}

#[test]
fn a_buffer_outside_memory_needs_a_reset() {
    let mut driver = driver();
    driver.chain(0, &[(MEMORY, 8, WRITE)]);
    driver.offer(0);
    driver.notify();
    assert_eq!((driver.status(), driver.used()), (0x4f, 0));
}
