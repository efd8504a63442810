use std::collections::BTreeSet;

use vmm::controlled::Granularity;
use vmm::identity::Identity;
use vmm::memory::MemorySize;
use vmm::{CpuCount, Criteria, GuestImage, MachineConfig};

use super::*;
use crate::finding::tests::finding;
use crate::hunt::recorder::FaultPlaces;
use crate::strategy::StrategySpec;

fn setting(keep_going: bool) -> Hunt {
    Hunt {
        machine: MachineConfig {
            initrd: None,
            guest: GuestImage { name: "none".into(), bytes: [].as_slice().into() },
            cpus: CpuCount::new(1).unwrap(),
            memory: MemorySize::default(),
            identity: Identity::default(),
            command_line: String::new(),
            disks: Vec::new(),
            rng: false,
            virtio_console: false,
            faults: Vec::new(),
            granularity: Granularity::default(),
            criteria: Criteria::default(),
        },
        strategy: StrategySpec::Random,
        seed: 1,
        runs: 10,
        time: None,
        budget: 100,
        hang_budget: 10,
        jobs: 2,
        keep_going,
        verify: false,
    }
}

fn clean(run: u64) -> Made {
    let report = Report {
        run,
        decisions: 5,
        choices: 3,
        points: 7,
        hash: run % 3,
        counts: Vec::new(),
        path: None,
        cut_short: None,
        quiet: false,
        watched: None,
        faults: FaultPlaces::default(),
        struck: BTreeSet::new(),
        finding: None,
        divergence: None,
    };
    (run, Ok(Some(report)))
}

fn failed(run: u64) -> Made {
    let mut made = clean(run);
    let mut finding = Box::new(finding());
    finding.search.run = run;
    if let Ok(Some(report)) = &mut made.1 {
        report.finding = Some(finding);
    }
    made
}

fn broken(run: u64) -> Made {
    (run, Err(Error::System { what: "broken", source: std::io::ErrorKind::Other.into() }))
}

/// What is reported for these results, and how the search ends; the caller stops it after
/// `stop_after` reports.
fn told(
    setting: &Hunt,
    made: Vec<Made>,
    stop_after: usize,
) -> (Vec<Option<u64>>, vmm::Result<Progress>) {
    let plan = Plan::new(&setting.strategy);
    let queue = Queue::new(10, plan.lesson().clone(), None);
    let (sender, receiver) = mpsc::channel();
    for made in made {
        sender.send(made).unwrap();
    }
    drop(sender);
    let mut told = Vec::new();
    let ended = Search::new(setting, &queue, plan).collect(&receiver, &mut |_, what| {
        told.push(match what {
            SearchEvent::Failed(finding) => Some(finding.search.run),
            _ => None,
        });
        if told.len() >= stop_after { Next::Stop } else { Next::GoOn }
    });
    (told, ended)
}

const NEVER: usize = usize::MAX;

#[test]
fn runs_are_looked_at_in_the_order_of_their_numbers() {
    let made = vec![clean(2), failed(1), failed(3), clean(0)];
    let (told, ended) = told(&setting(true), made, NEVER);
    assert_eq!(told, [None, Some(1), None, Some(3)]);
    let progress = ended.unwrap();
    assert_eq!((progress.runs, progress.failed, progress.distinct), (4, 2, 3));
    assert_eq!(progress.points, 28);
}

#[test]
fn the_first_failure_is_that_of_the_lowest_number() {
    let made = vec![failed(3), clean(1), failed(2), clean(0)];
    let (told, ended) = told(&setting(false), made, NEVER);
    assert_eq!(told, [None, None, Some(2)]);
    assert_eq!(ended.unwrap().runs, 3);
}

#[test]
fn an_error_counts_when_its_turn_comes() {
    let (told_first, ended) = told(&setting(false), vec![broken(2), failed(1), clean(0)], NEVER);
    assert_eq!((told_first, ended.unwrap().failed), (vec![None, Some(1)], 1));
    let (told_first, ended) = told(&setting(false), vec![broken(1), failed(2), clean(0)], NEVER);
    assert_eq!((told_first, ended.is_err()), (vec![None], true));
}

#[test]
fn what_was_found_before_a_stop_is_told() {
    let (told, ended) = told(&setting(true), vec![clean(0), (1, Ok(None)), failed(2)], 1);
    assert_eq!(told, [None, Some(2)]);
    assert_eq!(ended.unwrap().runs, 2);
}
