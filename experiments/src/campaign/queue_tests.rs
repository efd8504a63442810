use super::*;
use crate::campaign::testing;

fn cell(asked: u64, first_seed: u64) -> CellDescription {
    CellDescription {
        name: String::new(),
        levels: Vec::new(),
        asked,
        first_seed,
        command: String::new(),
    }
}

fn run(cell: usize, seed: u64, failed: bool) -> RunRecord {
    testing::run(cell, seed, failed.then_some("hang"))
}

fn all(queue: &Queue) -> Vec<(usize, u64)> {
    std::iter::from_fn(|| queue.take()).map(|task| (task.cell, task.seed)).collect()
}

#[test]
fn cells_alternate() {
    let cells = [cell(3, 1), cell(2, 10), cell(1, 5)];
    let queue = Queue::new(&cells, Shard::ALL, &[], Bounds::default());
    assert_eq!(queue.left(), 6);
    assert_eq!(all(&queue), [(0, 1), (1, 10), (2, 5), (0, 2), (1, 11), (0, 3)]);
    assert_eq!(queue.ended(), Ended::Complete);
}

#[test]
fn what_is_recorded_is_not_run_again() {
    let cells = [cell(3, 1), cell(3, 1)];
    let recorded = [run(0, 1, false), run(1, 2, false), run(1, 3, true)];
    let queue = Queue::new(&cells, Shard::ALL, &recorded, Bounds::default());
    assert_eq!(queue.left(), 3);
    assert_eq!(all(&queue), [(1, 1), (0, 2), (0, 3)]);
}

#[test]
fn shards_have_all_runs_between_them() {
    let cells = [cell(5, 1), cell(3, 7)];
    let mut together = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let queue = Queue::new(&cells, shard.parse().unwrap(), &[], Bounds::default());
        let own = all(&queue);
        assert!(own.iter().any(|(cell, _)| *cell == 1), "{shard} has runs of each cell");
        together.extend(own);
    }
    together.sort_unstable();
    let mut expected = all(&Queue::new(&cells, Shard::ALL, &[], Bounds::default()));
    expected.sort_unstable();
    assert_eq!(together, expected);
}

#[test]
fn a_cell_stops_after_its_failures() {
    let cells = [cell(4, 1), cell(4, 1)];
    let bounds = Bounds { failures_per_cell: Some(2), ..Bounds::default() };
    let queue = Queue::new(&cells, Shard::ALL, &[run(0, 1, true)], bounds);
    assert_eq!(queue.take(), Some(Task { cell: 1, seed: 1 }));
    queue.made(&run(0, 2, true));
    assert_eq!(all(&queue), [(1, 2), (1, 3), (1, 4)]);
    assert_eq!(queue.ended(), Ended::Complete);
    assert_eq!(queue.left(), 4, "of the cell that goes on");
}

#[test]
fn budgets_end_it() {
    let cells = [cell(100, 1)];
    let bounds = Bounds { runs: Some(3), ..Bounds::default() };
    let queue = Queue::new(&cells, Shard::ALL, &[run(0, 1, false)], bounds);
    assert_eq!(queue.left(), 2);
    assert_eq!(all(&queue), [(0, 2), (0, 3)]);
    assert_eq!(queue.ended(), Ended::OutOfRuns);
    let bounds = Bounds { time: Some(Duration::ZERO), ..Bounds::default() };
    let queue = Queue::new(&cells, Shard::ALL, &[], bounds);
    assert_eq!((queue.take(), queue.ended()), (None, Ended::OutOfTime));
    let queue = Queue::new(&cells, Shard::ALL, &[], Bounds::default());
    queue.end(Ended::Interrupted);
    queue.end(Ended::OutOfTime);
    assert_eq!((queue.take(), queue.ended()), (None, Ended::Interrupted));
    queue.end(Ended::Error);
    queue.end(Ended::Interrupted);
    assert_eq!(queue.ended(), Ended::Error);
}

#[test]
fn what_is_cut_short_is_not_complete() {
    let queue = Queue::new(&[cell(2, 1)], Shard::ALL, &[], Bounds::default());
    // Both runs are given out, and a third worker finds nothing more.
    assert_eq!(all(&queue).len(), 2);
    assert_eq!(queue.ended(), Ended::Complete);
    queue.end(Ended::Interrupted);
    assert_eq!(queue.ended(), Ended::Interrupted);
}

#[test]
fn runs_that_are_not_made_take_no_time() {
    const MANY: u64 = 1 << 60;
    let cells = [cell(MANY, 1), cell(MANY, 1), cell(2, 1)];
    let bounds = Bounds { failures_per_cell: Some(1), ..Bounds::default() };
    let recorded = [run(0, 1, true), run(1, 1, true)];
    for shard in ["1/1", "2/2", "1000000/1000000"] {
        let shard: Shard = shard.parse().unwrap();
        let queue = Queue::new(&cells, shard, &recorded, bounds);
        assert_eq!(all(&queue).len() as u64, shard.share(2));
        assert_eq!(queue.ended(), Ended::Complete);
    }
    let cells = [cell(u64::MAX, 1), cell(u64::MAX, 1)];
    let queue = Queue::new(&cells, Shard::ALL, &[], Bounds::default());
    assert_eq!(queue.left(), u64::MAX);
}
