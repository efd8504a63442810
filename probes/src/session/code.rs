//! Probes at instructions: what fires when a vCPU has stopped at an address.

use vmm::hook::Context;

use super::hook::VcpuProbes;
use super::stops::{Frame, Reached};
use crate::engine::{Event, Values};
use crate::point::{Access, Address, Point};

impl VcpuProbes {
    /// Fires the probes for the instruction at `address`, before which the vCPU has stopped.
    pub(super) fn stand_at(&mut self, address: u64, context: &mut Context) {
        let mut values = Values::default();
        // A scheduler that has stopped the vCPU can read its registers. Without them no probe can
        // fire.
        let Ok(registers) = values.general(context).copied() else {
            return self.miss(|point| point.start == address);
        };
        let r = registers;
        let follows = self.stops.follows(address);
        let frame = if follows { frame(r.rsp, context, &mut values) } else { None };
        let is_there = |frame: &Frame| {
            word(frame.stack, frame.width, context, &mut values) == Some(frame.back)
        };
        let Reached { points, lost } = self.stops.reach(address, r.rsp, frame, is_there);
        for function in lost {
            let is_followed = |access| matches!(access, Access::Exit | Access::Step);
            self.miss(|point| point.start == function && is_followed(point.access));
        }
        for address in points {
            let event = match address.access {
                Access::Enter => Event::new(&[r.rdi, r.rsi, r.rdx, r.rcx, r.r8, r.r9]),
                Access::Exit => Event::new(&[r.rax]),
                _ => Event::default(),
            };
            self.at(Point::Address(address), &event, context, &mut values);
        }
    }

    /// Counts one missed event for each probe at the points that `which` selects.
    fn miss(&self, which: impl Fn(&Address) -> bool) {
        let missed = |point: &Point| point.address().is_some_and(|address| which(&address));
        for (_, probes) in self.points.iter().filter(|(point, _)| missed(point)) {
            for probe in probes {
                self.counters.missed(*probe, 1);
            }
        }
    }
}

/// The stack at the first instruction of a function; `None` if it can't be read.
fn frame(stack: u64, context: &mut Context, values: &mut Values) -> Option<Frame> {
    let system = values.system(context).ok()?;
    let (width, cr3) = (u64::from(system.code_bits()) / 8, system.cr3);
    let back = word(stack, width, context, values)?;
    Some(Frame { stack, back, width, cr3 })
}

/// A word of `width` bytes on the stack; `None` if it can't be read.
fn word(address: u64, width: u64, context: &mut Context, values: &mut Values) -> Option<u64> {
    let mut bytes = [0; 8];
    let part = bytes.get_mut(..usize::try_from(width).ok()?)?;
    values.read(address, part, context).ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
