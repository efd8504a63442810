//! For the tests of both schedulers: hooks that record their calls.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::hook::{self, Access, Attach, Context, Hook, MsrAccess, Points, Verdict};

/// A call at a breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) vcpu: u32,
    pub(crate) address: u64,
    pub(crate) rip: u64,
    pub(crate) rbx: u64,
    pub(crate) now: Duration,
}

/// Has breakpoints at these addresses, and records the calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spy {
    pub(crate) addresses: Vec<u64>,
    /// The entry of a function: when this breakpoint is hit, the return address on the stack
    /// becomes a breakpoint, too, which is removed when it is hit.
    pub(crate) enter: Option<u64>,
    pub(crate) hits: Arc<Mutex<Vec<Hit>>>,
}

impl Spy {
    pub(crate) fn at(addresses: &[u64]) -> Self {
        Self { addresses: addresses.to_vec(), ..Self::default() }
    }

    /// A copy with the same breakpoints and no records.
    pub(crate) fn afresh(&self) -> Self {
        Self { hits: Arc::default(), ..self.clone() }
    }

    /// The recorded calls at this address.
    pub(crate) fn hits(&self, address: u64) -> Vec<Hit> {
        let all = self.hits.lock().unwrap();
        all.iter().filter(|hit| hit.address == address).copied().collect()
    }

    pub(crate) fn count(&self, address: u64) -> usize {
        self.hits(address).len()
    }

    /// The addresses of a vCPU's calls, in order.
    pub(crate) fn order(&self, vcpu: u32) -> Vec<u64> {
        let all = self.hits.lock().unwrap();
        all.iter().filter(|hit| hit.vcpu == vcpu).map(|hit| hit.address).collect()
    }
}

impl Attach for Spy {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

impl Hook for Spy {
    fn points(&self) -> Points {
        Points::BREAKPOINT
    }

    fn breakpoints(&self) -> &[u64] {
        &self.addresses
    }

    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        let registers = context.cpu.registers().unwrap();
        assert!(context.started);
        self.hits.lock().unwrap().push(Hit {
            vcpu: context.vcpu,
            address,
            rip: registers.rip,
            rbx: registers.rbx,
            now: context.now,
        });
        if self.enter == Some(address) {
            // The test guests are identity-mapped.
            let back = context.memory.read_u64(registers.rsp).unwrap();
            self.addresses.push(back);
        } else if self.enter.is_some() {
            self.addresses.retain(|known| *known != address);
        }
        Verdict::Continue
    }
}

/// Records accesses to watched memory.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    pub(crate) ranges: Vec<Range<u64>>,
    pub(crate) seen: Arc<Mutex<Vec<(u32, Access)>>>,
}

impl Watch {
    pub(crate) fn of(range: Range<u64>) -> Self {
        Self { ranges: std::iter::once(range).collect(), ..Self::default() }
    }

    pub(crate) fn and(mut self, range: Range<u64>) -> Self {
        self.ranges.push(range);
        self
    }

    pub(crate) fn accesses(&self) -> Vec<Access> {
        self.seen.lock().unwrap().iter().map(|(_, access)| *access).collect()
    }
}

impl Attach for Watch {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }

    fn watches(&self) -> Vec<hook::Watch> {
        self.ranges.iter().cloned().map(Into::into).collect()
    }
}

impl Hook for Watch {
    fn access(&mut self, context: &mut Context, access: &Access) -> Verdict {
        self.seen.lock().unwrap().push((context.vcpu, *access));
        Verdict::Continue
    }
}

/// Records accesses to these MSRs.
#[derive(Clone, Default)]
pub(crate) struct Msrs {
    wanted: Vec<u32>,
    seen: Arc<Mutex<Vec<MsrAccess>>>,
}

impl Msrs {
    pub(crate) fn of(wanted: &[u32]) -> Self {
        Self { wanted: wanted.to_vec(), ..Self::default() }
    }

    pub(crate) fn accesses(&self) -> Vec<MsrAccess> {
        self.seen.lock().unwrap().clone()
    }
}

impl Attach for Msrs {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }

    fn msrs(&self) -> Vec<u32> {
        self.wanted.clone()
    }
}

impl Hook for Msrs {
    fn msr(&mut self, _: &mut Context, access: &MsrAccess) -> Verdict {
        self.seen.lock().unwrap().push(*access);
        Verdict::Continue
    }
}

/// An interrupt controller that ignores its lines.
pub(crate) struct NoController;

impl devices::device::InterruptController for NoController {
    fn set_line(&mut self, _line: u32, _high: bool) {}
}

/// A clock that stands still.
pub(crate) struct NoClock;

impl devices::device::Clock for NoClock {
    fn now(&self) -> u64 {
        0
    }
}
