//! Self-tests of machines and vCPUs: the cost of creating, switching and dropping them.

use std::time::{Duration, Instant};

use iced_x86::code_asm::{al, qword_ptr};

use super::layout::{CODE, DATA, MARK, Ring};
use super::outcome::{Outcome, Samples, Stop, Tested};
use super::test_guest::{TestGuest, done};
use crate::cpu::Cpu;
use crate::exit::Entry;
use crate::kvm::Irqchip;

/// Creates a machine, runs it to its first exit and drops it; the same with KVM's irqchip for
/// comparison.
pub(super) fn machine(test_guest: &TestGuest) -> Tested<Outcome> {
    let sample = |irqchip| -> Tested<Duration> {
        let start = Instant::now();
        let mut bench = test_guest.machine(irqchip, done)?;
        bench.expect_done()?;
        drop(bench);
        Ok(start.elapsed())
    };
    let median = |irqchip| {
        let times = (0..3).map(|_| sample(irqchip)).collect::<Tested<Samples>>()?;
        Ok::<_, Stop>(times.median())
    };
    let bare = median(Irqchip::None)?;
    let detail = match median(Irqchip::InKernel) {
        Ok(full) => format!("run to the first exit; {full} with KVM's irqchip"),
        Err(_) => "run to the first exit".into(),
    };
    Ok(Outcome::works(detail).costing(bare))
}

/// One thread runs two vCPUs alternately. The cost is the additional cost of an exit, compared with
/// one vCPU.
pub(super) fn alternate(test_guest: &TestGuest) -> Tested<Outcome> {
    const TURNS: usize = 200;
    let mut bench = test_guest.machine(Irqchip::None, |a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.inc(qword_ptr(DATA))?;
        a.out(u32::from(MARK), al)?;
        a.jmp(again)
    })?;
    let mut second = test_guest.cpu(&bench.vm, 1, Ring::Kernel)?;
    let mut _bound = bench.cpu.bind_to_thread();
    let (mut alone, mut by_turns) = (Vec::new(), Vec::new());
    bench.expect_port(MARK)?;
    for _ in 0..TURNS {
        alone.push(bench.time_to_port(MARK)?);
        // The second vCPU has no alarm of its own: it is bound while it runs, and shares the
        // bench's.
        _bound = second.bind_to_thread();
        let exit = second.run(Entry::Resume)?;
        if !matches!(exit, crate::exit::Exit::PortWrite { port: MARK, .. }) {
            return Ok(bench.odd(&exit));
        }
        _bound = bench.cpu.bind_to_thread();
        by_turns.push(bench.time_to_port(MARK)?);
    }
    // The second vCPU started at the same code and counted in the same memory.
    let counted = bench.vm.memory().read_u64(DATA)?;
    if counted != 1 + 3 * TURNS as u64 || second.registers()?.rip < CODE {
        return Ok(Outcome::partly(format!("{counted} steps counted of {}", 1 + 3 * TURNS)));
    }
    let median = |times: Vec<Duration>| times.into_iter().collect::<Samples>().median();
    let (alone, by_turns) = (median(alone), median(by_turns));
    let detail = format!("an exit: {by_turns} by turns, {alone} with one vCPU");
    Ok(Outcome::works(detail).costing(by_turns.above(alone)))
}
