use super::super::ram::Ram;
use super::super::testing::*;
use super::*;

fn queue() -> (DeviceQueue, TestRam) {
    let mut queue = DeviceQueue::new(8);
    (queue.descriptors, queue.driver, queue.device) = (DESCRIPTORS, AVAILABLE, USED);
    (queue, TestRam::new())
}

#[test]
fn a_request_of_an_earlier_life_is_no_longer_the_queues() {
    let (mut queue, ram) = queue();
    queue.start(ram.map(), false).unwrap();
    ram.write(AVAILABLE + 2, &[1, 0]);
    ram.write(DESCRIPTORS, &[0; 16]);
    let chain = queue.pop(0, ram.map()).unwrap().unwrap();
    assert!(queue.has(&chain));
    queue.stop();
    assert!(!queue.has(&chain));
    queue.start(ram.map(), false).unwrap();
    assert!(!queue.has(&chain));
}

#[test]
fn a_queue_that_is_not_ready_has_nothing() {
    let (mut queue, ram) = queue();
    assert_eq!(queue.pop(0, ram.map()), Ok(None));
    queue.start(ram.map(), false).unwrap();
    queue.reset();
    assert!(!queue.is_ready());
    assert_eq!((queue.size, queue.descriptors), (8, 0));
}
