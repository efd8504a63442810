//! What each vCPU of a running machine does, and for what it waits.
//!
//! A single look can't tell a vCPU that spins from one that passes by. A running machine is
//! therefore stopped several times, and a vCPU is said to spin only if it was in the same loop at
//! every stop.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use vmm::instruction;
use vmm::paging::PhysicalMemory;
use vmm::parallel::VcpuState;
use vmm::registers::{Activity, Registers};

use crate::inspector::Inspector;
use crate::spin::{Observation, Spin};

/// How many times a running machine is stopped.
pub(super) const LOOKS: u32 = 10;
/// The time between two stops, in which the vCPUs run.
pub(super) const INTERVAL: Duration = Duration::from_millis(2);

/// Where each vCPU was at each stop so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    looks: u32,
    vcpus: Vec<BTreeSet<u64>>,
}

impl Seen {
    /// Adds a stop.
    pub(super) fn add(&mut self, vcpus: &[VcpuState]) {
        self.looks += 1;
        self.vcpus.resize_with(vcpus.len(), BTreeSet::new);
        for (seen, vcpu) in self.vcpus.iter_mut().zip(vcpus) {
            seen.insert(vcpu.registers.rip);
        }
    }
}

/// A line for each vCPU. `period` is the time of all stops; `None` if the machine was paused, so
/// that it was looked at once.
pub(super) fn text<M: PhysicalMemory + ?Sized>(
    seen: &Seen,
    vcpus: &[VcpuState],
    memory: &M,
    inspector: &Inspector,
    period: Option<Duration>,
) -> String {
    let mut text = String::new();
    for ((number, vcpu), rips) in vcpus.iter().enumerate().zip(&seen.vcpus) {
        let sampled: Vec<u64> = rips.iter().copied().collect();
        let spin = Spin::analyse(&Observation {
            registers: &vcpu.registers,
            system: &vcpu.system,
            activity: vcpu.activity,
            sampled: &sampled,
            memory,
            inspector,
        });
        // Writing to a String can't fail.
        let _ = write!(text, "vCPU {number}: ");
        let takes_interrupts = vcpu.registers.rflags & Registers::INTERRUPT_FLAG != 0;
        let _ = match (vcpu.activity, period) {
            (Activity::WaitForSipi, _) => write!(text, "not started: waits for its SIPI"),
            (Activity::Halted, _) if takes_interrupts => {
                write!(text, "{spin}; waits for an interrupt")
            }
            (Activity::Halted, _) => {
                write!(text, "{spin} with interrupts off; only an NMI or a reset wakes it")
            }
            (Activity::Running, Some(period)) if is_in_loop(&spin, &sampled, vcpu) => {
                write!(text, "{spin}; in this loop at {} looks in {period:.0?}", seen.looks)
            }
            (Activity::Running, period) => {
                let places = period.map(|period| (sampled.len(), period));
                write_place(&mut text, spin, places);
                Ok(())
            }
        };
        if vcpu.activity == Activity::Running && !takes_interrupts {
            text.push_str("; interrupts off");
        }
        text.push('\n');
    }
    text
}

/// Whether the vCPU was in the loop at every stop.
fn is_in_loop(spin: &Spin, sampled: &[u64], vcpu: &VcpuState) -> bool {
    spin.around.as_ref().is_some_and(|around| {
        let linear = |rip: &u64| instruction::linear(*rip, &vcpu.system);
        sampled.iter().map(linear).all(|rip| (around.start..around.end).contains(&rip))
    })
}

/// Where a vCPU is of which it isn't known whether it spins. What its loop reads is said only if
/// the machine is paused, and then as what it is.
fn write_place(text: &mut String, mut spin: Spin, places: Option<(usize, Duration)>) {
    let is_loop = spin.around.take().is_some();
    let reads = if is_loop { std::mem::take(&mut spin.reads) } else { Vec::new() };
    // Writing to a String can't fail.
    let _ = write!(text, "{spin}");
    let _ = match places {
        Some((1, period)) => write!(text, "; at this instruction at every look in {period:.0?}"),
        Some((places, period)) => write!(text, "; at {places} places in {period:.0?}"),
        None => {
            for (index, read) in reads.iter().enumerate() {
                let before = if index == 0 { "; the loop around it reads" } else { " and" };
                let _ = write!(text, "{before} {read}");
            }
            write!(text, "; paused: whether it spins can't be told")
        }
    };
}
