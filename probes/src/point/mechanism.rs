//! The mechanisms that points need of the machine.

use bitflags::bitflags;
use vmm::Host;
use vmm::doctor::DebugCapabilities;

bitflags! {
    /// The mechanisms by which points fire, as a scheduler provides them on a host.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mechanisms: u16 {
        /// Exits and entries are reported to hooks.
        const EXITS = 1;
        /// vCPUs can be stopped at instructions.
        const BREAKPOINTS = 1 << 1;
        /// vCPUs can be stopped after each instruction.
        const STEPS = 1 << 2;
        /// Accesses to memory are reported.
        const WATCHES = 1 << 3;
        /// Interrupts are reported before they are delivered.
        const INTERRUPTS = 1 << 4;
        /// Faults are reported before they are delivered.
        const FAULTS = 1 << 5;
        /// Accesses to model-specific registers are reported.
        const MSRS = 1 << 6;
        /// The scheduler emulates the local APICs itself, and reports HLT, INIT and IPIs.
        const APICS = 1 << 7;
        /// There are scheduling points.
        const SCHEDULING = 1 << 8;
        /// The scheduler reports when the guest hangs.
        const HANGS = 1 << 9;
        /// Scripts may change what the guest does.
        const CHANGES = 1 << 10;
    }
}

impl Mechanisms {
    /// What the parallel scheduler provides on a host that supports everything.
    pub const PARALLEL: Self = Self::EXITS
        .union(Self::BREAKPOINTS)
        .union(Self::STEPS)
        .union(Self::WATCHES)
        .union(Self::MSRS)
        .union(Self::CHANGES);

    /// What the controlled scheduler provides on a host that supports everything.
    pub const CONTROLLED: Self = Self::PARALLEL
        .difference(Self::CHANGES)
        .union(Self::INTERRUPTS)
        .union(Self::APICS)
        .union(Self::SCHEDULING)
        .union(Self::HANGS);

    /// Keeps the mechanisms that this host supports. Only mechanisms in `self` are tested: the
    /// first test of stops at instructions takes some ten milliseconds ([`DebugCapabilities::of`]).
    #[must_use]
    pub fn on(self, host: &Host) -> Self {
        let stops = Self::BREAKPOINTS | Self::STEPS;
        let mut found = self;
        if found.intersects(stops) && !DebugCapabilities::of(host).can_stop() {
            found -= stops;
        }
        if found.contains(Self::MSRS) && !vmm::kvm::has_msr_filter(host) {
            found -= Self::MSRS;
        }
        found
    }

    /// Why a point whose mechanism is missing is not available. A mechanism that every scheduler
    /// provides can only be missing because of the host.
    pub(crate) fn lack(self) -> &'static str {
        match self {
            Self::EXITS => "this scheduler doesn't show exits to probes",
            Self::BREAKPOINTS | Self::STEPS => {
                "nothing stops a vCPU at an instruction on this host (jitterbug doctor has the details)"
            }
            Self::WATCHES => "this scheduler doesn't watch the guest's memory for probes",
            Self::INTERRUPTS => {
                "KVM's irqchip delivers interrupts, and doesn't tell this scheduler"
            }
            Self::FAULTS => {
                "KVM delivers the guest's faults, and tells nobody; GUEST:ENTER at the handler fires \
                 just after"
            }
            Self::MSRS => "this host's KVM has no filter for model-specific registers",
            Self::APICS => "KVM's irqchip has the local APICs, and doesn't tell this scheduler",
            Self::SCHEDULING => {
                "this scheduler has no scheduling points: its vCPUs run by themselves"
            }
            Self::CHANGES => "a recorded run that a script changes is another run",
            Self::HANGS => "this scheduler doesn't tell probes of a hang",
            _ => "this scheduler can't",
        }
    }
}

impl Default for Mechanisms {
    fn default() -> Self {
        Self::PARALLEL
    }
}
