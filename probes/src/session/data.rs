//! Probes at data: what fires when a vCPU accesses watched memory.
//!
//! A script names linear addresses, and a trapped page is a guest-physical one. The mapping from
//! one to the other is taken from the guest's image, so an access is seen whatever linear address
//! the guest uses for it. Data watchpoints see accesses at these two addresses only.

use std::sync::Arc;

use vmm::hook::{self, Context};

use super::hook::VcpuProbes;
use crate::engine::{Event, Values};
use crate::point::Point;

impl VcpuProbes {
    /// Fires the probes at the data that the vCPU has loaded or stored.
    pub(super) fn accessed(&mut self, access: &hook::Access, context: &mut Context) {
        let mut values = Values::default();
        let common = Arc::clone(&self.common);
        for data in common.data.iter().filter(|data| data.sees(access)) {
            let point = Point::Address(data.address);
            let linear = data.linear(access);
            // For a load there is no earlier value.
            let before = if access.write { access.before } else { 0 };
            // If the instruction isn't known, its size isn't either.
            let size = if access.exact { access.size } else { 0 };
            let event = Event::new(&[linear, size.into(), access.value, before]);
            self.at(point, &event, context, &mut values);
        }
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
