use std::thread;

use super::*;
use crate::strategy::Method;

/// The lesson of a round that ends before this run.
fn round(end: u64) -> Arc<Lesson> {
    Arc::new(Lesson {
        first: 0,
        end,
        turns: vec![Method::Random.into()],
        length: 0,
        counts: Vec::new(),
        faults: 0,
        wants_paths: false,
    })
}

fn runs(queue: &Queue) -> Vec<u64> {
    std::iter::from_fn(|| queue.take()).map(|ticket| ticket.run).collect()
}

#[test]
fn every_run_is_given_out_once() {
    let queue = Queue::new(1000, round(1000), None);
    let mut all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| runs(&queue))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
}

#[test]
fn the_rest_waits_for_the_lesson() {
    let queue = Queue::new(5, round(2), None);
    for run in 0..2 {
        assert_eq!(queue.take(), Some(Ticket { run, lesson: round(2) }));
    }
    thread::scope(|scope| {
        let rest = scope.spawn(|| std::iter::from_fn(|| queue.take()).collect::<Vec<_>>());
        thread::sleep(Duration::from_millis(20));
        assert!(!rest.is_finished());
        queue.open(round(9));
        let expected: Vec<_> = (2..5).map(|run| Ticket { run, lesson: round(9) }).collect();
        assert_eq!(rest.join().unwrap(), expected);
    });
}

#[test]
fn fewer_runs_than_are_given_out_at_first_are_all() {
    assert_eq!(runs(&Queue::new(3, round(8), None)), [0, 1, 2]);
    assert_eq!(runs(&Queue::new(8, round(8), None)).len(), 8);
}

#[test]
fn nothing_is_given_out_late_or_when_closed() {
    assert_eq!(Queue::new(3, round(3), Some(Duration::ZERO)).take(), None);
    let queue = Queue::new(3, round(3), Some(Duration::MAX));
    assert!(queue.take().is_some() && !queue.is_closed());
    queue.close();
    assert!(queue.take().is_none() && queue.is_closed());
}

#[test]
fn who_waits_is_told_of_the_close() {
    let queue = Queue::new(3, round(0), None);
    thread::scope(|scope| {
        let waits = scope.spawn(|| queue.take());
        thread::sleep(Duration::from_millis(20));
        queue.close();
        assert_eq!(waits.join().unwrap(), None);
    });
}
