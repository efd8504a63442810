use inspect::Symbols;
use vmm::Cancel;

use super::*;
use crate::cause::executor::Setup;
use crate::cause::testing::{found, host};
use crate::waits::Names;

/// The search for pairs works for any difference, not only for failures: it starts from the
/// non-preemptive run, and finds the nearest run with another result, and the pairs that make the
/// difference.
#[test]
fn the_nearest_run_that_differs_is_a_switch_away() {
    let host = host();
    for (guest, variable, first, second) in [
        ("lost-update", "counter", "add_one", "add_one"),
        ("publish-flag", "result", "take", "publish"),
        ("pct-1b", "pointer", "clear", "check_then_use"),
    ] {
        let (machine, finding) = found(&host, guest);
        let symbols = Symbols::from_elf(guest, &*machine.guest.bytes).unwrap();
        let names = Names { symbols: Some(&symbols), image: &machine.guest.bytes };
        let cancel = Cancel::never();
        let mut executor = Executor::new(Setup {
            host: &host,
            config: &machine,
            names,
            schedule: finding.schedule().unwrap(),
            points: finding.run.points,
            hang_budget: finding.run.hang_budget,
            search_budget: finding.run.hang_budget,
            run_out: true,
            cancel: &cancel,
        })
        .unwrap();
        let root = executor.run(&[], &mut undisturbed).unwrap();
        assert_eq!(root.failure, None, "{guest}");
        let fails = |run: &Run| run.failure.is_some();
        let pairs = nearest(&mut executor, &fails, &root).unwrap();
        let is_known = |pair: &Critical| {
            let Target::Memory(address) = pair.first.access.target else { return false };
            let function = |operation: &Operation| {
                symbols.function(operation.access.rip - 1).unwrap().0.to_owned()
            };
            names.variable(address) == variable
                && function(&pair.first) == first
                && function(&pair.second) == second
        };
        assert!(pairs.iter().any(is_known), "{guest}: {pairs:#?}");
        // The two runs of each pair are one order apart: one is as wanted, and the other isn't.
        assert!(pairs.iter().all(|pair| fails(&pair.fails) && !fails(&pair.passes)), "{guest}");
    }
}
