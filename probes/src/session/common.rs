//! State that the hooks of a session's vCPUs share.

use std::sync::atomic::{AtomicU32, Ordering};

use vmm::boot::segments::Segments;

use super::watch::DataPoint;
use crate::point::{Fixed, Msr, Point, USUAL};

/// The value of [`Common::last`] before any vCPU has run.
const NOBODY: u32 = u32::MAX;

/// What a script requires of its machine as a whole, and what one vCPU needs to know about the
/// others.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) data: Vec<DataPoint>,
    pub(super) msrs: Vec<u32>,
    /// The vCPU that the scheduler chose last.
    last: AtomicU32,
}

impl Common {
    pub(super) fn new(points: &[Point], segments: &Segments) -> Self {
        let data = |point: &Point| DataPoint::new(*point, segments);
        let registers = |point: &Point| match point {
            Point::Msr(Msr { index, .. }) => vec![*index],
            Point::Fixed(Fixed::MsrRead | Fixed::MsrWrite) => USUAL.to_vec(),
            _ => Vec::new(),
        };
        let mut msrs: Vec<u32> = points.iter().flat_map(registers).collect();
        msrs.sort_unstable();
        msrs.dedup();
        let data = points.iter().filter_map(data).collect();
        Self { data, msrs, last: AtomicU32::new(NOBODY) }
    }

    /// Records that a vCPU has been chosen, and returns the vCPU that was chosen before.
    pub(super) fn chose(&self, vcpu: u32) -> Option<u32> {
        // Relaxed is enough: one thread makes all choices.
        Some(self.last.swap(vcpu, Ordering::Relaxed)).filter(|before| *before != NOBODY)
    }
}
