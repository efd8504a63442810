//! The addresses at which one vCPU stops for probes at instructions.
//!
//! A point of kind `ENTER` or `OFFSET` needs one address. `EXIT` needs the address to which a call
//! returns, which is on the stack when the function begins. The vCPU stops at that address from
//! then on, until it arrives there with the stack pointer that the return leaves, so each call of a
//! recursion is recognised. A call may also never return, or return on another vCPU. It is given up
//! when its return address on the stack has been overwritten, or when there are too many calls;
//! calls given up are counted. `STEP` stops at every byte of its function while a call of the
//! function is active, because where its instructions begin isn't known beforehand.

use crate::point::{Access, Address};

/// The most calls whose return is awaited. A deeper recursion gives up its outermost calls.
pub(super) const MAX_CALLS: usize = 1024;

/// The addresses at which a vCPU stops, and why.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// Points of kind `ENTER` and `OFFSET`.
    fixed: Vec<Address>,
    /// Points of kind `EXIT`, by the function's first address.
    exits: Vec<Address>,
    steps: Vec<Address>,
    /// In the order in which the calls began.
    calls: Vec<Call>,
    /// All addresses at which the vCPU has to stop now.
    wanted: Vec<u64>,
}

/// A call that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    /// The function's first address.
    function: u64,
    frame: Frame,
}

/// The stack at the first instruction of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// RSP.
    pub(super) stack: u64,
    /// The return address, which RSP points to.
    pub(super) back: u64,
    /// The size of the return address in bytes.
    pub(super) width: u64,
    /// CR3, which identifies the address space.
    pub(super) cr3: u64,
}

/// What results from a vCPU's stop at an address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// The points that fire, in this order.
    pub(super) points: Vec<Address>,
    /// The functions whose calls were given up, once for each such call.
    pub(super) lost: Vec<u64>,
}

impl Stops {
    pub(super) fn new(points: impl Iterator<Item = Address>) -> Self {
        let mut stops = Self::default();
        for point in points {
            match point.access {
                Access::Enter | Access::Offset => stops.fixed.push(point),
                Access::Exit => stops.exits.push(point),
                Access::Step => stops.steps.push(point),
                Access::Read | Access::Write => {}
            }
        }
        stops.choose();
        stops
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.exits.is_empty() && self.steps.is_empty()
    }

    /// The addresses at which the vCPU has to stop.
    pub(super) fn wanted(&self) -> &[u64] {
        &self.wanted
    }

    /// Whether calls of the function that begins at `address` are followed.
    pub(super) fn follows(&self, address: u64) -> bool {
        self.exits.iter().chain(&self.steps).any(|point| point.start == address)
    }

    /// Handles a stop before the instruction at `address`, with this stack pointer. `frame` is the
    /// stack at that point if [`follows`](Self::follows) holds, or `None` if it can't be read;
    /// `is_there` says whether a return address is still on the stack.
    pub(super) fn reach(
        &mut self,
        address: u64,
        stack: u64,
        frame: Option<Frame>,
        is_there: impl FnMut(&Frame) -> bool,
    ) -> Reached {
        let mut reached = Reached::default();
        let before = self.calls.len();
        // After a tail call several calls end together. The call that began last ends first.
        for index in (0..self.calls.len()).rev() {
            let Call { function, frame } = self.calls[index];
            if frame.back == address && frame.stack.wrapping_add(frame.width) == stack {
                self.calls.remove(index);
                reached.points.extend(self.exits.iter().filter(|exit| exit.start == function));
            }
        }
        let mut changed = before != self.calls.len();
        if self.follows(address) {
            changed = true;
            self.begin(address, frame, is_there, &mut reached.lost);
        }
        reached.points.extend(self.fixed.iter().filter(|point| point.start == address));
        let is_on_its_way = |step: &&Address| {
            (step.start..step.start + step.length).contains(&address) && self.steps_through(step)
        };
        reached.points.extend(self.steps.iter().filter(is_on_its_way));
        if changed {
            self.choose();
        }
        reached
    }

    fn begin(
        &mut self,
        function: u64,
        frame: Option<Frame>,
        mut is_there: impl FnMut(&Frame) -> bool,
        lost: &mut Vec<u64>,
    ) {
        let Some(frame) = frame else { return lost.push(function) };
        self.calls.retain(|call| {
            let same_space = call.frame.cr3 == frame.cr3;
            let again = call.function == function && call.frame.stack == frame.stack;
            let stays = !(same_space && (again || !is_there(&call.frame)));
            if !stays {
                lost.push(call.function);
            }
            stays
        });
        if self.calls.len() >= MAX_CALLS {
            lost.push(self.calls.remove(0).function);
        }
        self.calls.push(Call { function, frame });
    }

    /// Whether a call of the stepped function is active.
    fn steps_through(&self, step: &Address) -> bool {
        self.calls.iter().any(|call| call.function == step.start)
    }

    fn choose(&mut self) {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        let fixed = self.fixed.iter().chain(&self.exits).chain(&self.steps);
        wanted.extend(fixed.map(|point| point.start));
        wanted.extend(self.calls.iter().map(|call| call.frame.back));
        for step in self.steps.iter().filter(|step| self.steps_through(step)) {
            wanted.extend(step.start..step.start + step.length);
        }
        wanted.sort_unstable();
        wanted.dedup();
        self.wanted = wanted;
    }
}

#[cfg(test)]
#[path = "stops_tests.rs"]
mod tests;
