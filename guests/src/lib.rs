//! Small kernels with a known bug, and their fixed twins.
//!
//! Each guest is a complete ELF image, built from the C and assembly sources beside this crate and
//! embedded in it. This folder's README says what a guest needs of a hypervisor, and how to add a
//! guest. This crate contains data only, and imports no other crate of the project.

#![forbid(unsafe_code)]

mod cases;
mod catalogue;
#[cfg(test)]
mod tests;

pub use cases::{Case, case, cases};
pub use catalogue::catalogue;

/// A guest image, and what is needed to run it.
#[derive(Debug)]
pub struct Guest {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The ELF image, page-aligned, so that it can be parsed in place.
    pub image: &'static [u8],
    /// The number of vCPUs that it is meant for. It runs with any number from 1 to [`MAX_CPUS`],
    /// which `cpus=N` on its command line gives.
    pub default_cpus: u32,
    /// With fewer vCPUs nothing can go wrong: a guest with a race says so and ends its run as a
    /// success.
    pub min_cpus: u32,
    /// Whether it runs for ever by design, which is not a failure.
    pub endless: bool,
    /// Its bug, if it was written to have one.
    pub bug: Option<Bug>,
}

/// A concurrency bug that a guest is known to have.
#[derive(Debug)]
pub struct Bug {
    /// What goes wrong.
    pub what: &'static str,
    /// The number of ordering constraints that must hold for the failure to happen.
    pub depth: u32,
    /// The number of preemptions in the shortest failing schedule: switches away from a vCPU that
    /// could have gone on, or interrupts taken at a harmful place. Which vCPU goes on first when
    /// the start gate opens is a free choice, and doesn't count.
    pub preemptions: u32,
    /// How the failure shows.
    pub oracle: Oracle,
    /// The orders that make it fail: the ground truth for explanations of the failure.
    pub pairs: &'static [Pair],
    /// The guest without the bug, with otherwise the same layout.
    pub fixed_twin: &'static str,
}

/// One side of a pair, as an explanation names it.
#[derive(Clone, Copy, Debug)]
struct Side<'a> {
    /// The kind of operation: "read", "write", "update", "interrupt", "off", "nmi", "init" or
    /// "sipi".
    kind: &'a str,
    /// The variable, perhaps with an offset; any text if the operation is not an access.
    variable: &'a str,
    /// The function.
    function: &'a str,
}

impl Bug {
    /// Whether a pair of an explanation is one of the bug's pairs. `text` returns a field of one
    /// side of the pair's JSON (docs/json.md): its arguments are the side's name (`first`, `second`
    /// or `meets`) and the field's name.
    pub fn has_pair<'a>(&self, text: impl Fn(&str, &str) -> &'a str) -> bool {
        let side = |name| Side {
            kind: text(name, "kind"),
            variable: text(name, "variable"),
            function: text(name, "function"),
        };
        let (first, second) = (side("first"), [side("second"), side("meets")]);
        self.pairs.iter().any(|pair| {
            pair.first.is(pair.variable, first)
                && second.iter().any(|second| pair.second.is(pair.variable, *second))
        })
    }
}

/// Two accesses to one variable whose order decides; or an access and an interrupt-related
/// operation, or two of these.
///
/// A shortest failing schedule has `first` before `second` in each of a bug's pairs, by two vCPUs,
/// or by a vCPU and its interrupt handler. Reversing any single pair makes the run pass, so an
/// explanation that names one of the pairs is right.
///
/// If an access happens more than once, or two vCPUs run the same function, the occurrence that
/// decides is meant: a lost update has a read in `add_one` before *another* vCPU's write in
/// `add_one`, whose own read came earlier still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The variable, by its symbol in `.shared`. Empty if neither side is an access.
    pub variable: &'static str,
    /// The operation that comes first when the guest fails.
    pub first: Access,
    /// The operation that comes later when the guest fails.
    pub second: Access,
}

/// One side of a [`Pair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The function that contains the instruction. Empty for an interrupt, which may be taken
    /// anywhere.
    pub function: &'static str,
    /// What it does.
    pub kind: AccessKind,
}

impl Access {
    fn is(&self, variable: &str, side: Side) -> bool {
        let kind = match self.kind {
            AccessKind::Read => "read",
            AccessKind::Write => "write",
            AccessKind::Update => "update",
            // An interrupt may be taken anywhere.
            AccessKind::Interrupt => return side.kind == "interrupt",
            AccessKind::Off => "off",
            AccessKind::Nmi => "nmi",
            AccessKind::Init => "init",
            AccessKind::Sipi => "sipi",
        };
        let same = !self.kind.is_access() || side.variable.split('+').next() == Some(variable);
        same && side.kind == kind && side.function == self.function
    }
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A load, or a return from a trapped stack.
    Read,
    /// A store, or a push or call on a trapped stack.
    Write,
    /// A locked read-modify-write.
    Update,
    /// Not an access: a vCPU takes an interrupt.
    Interrupt,
    /// Not an access: a vCPU turns its interrupts off.
    Off,
    /// An NMI is sent.
    Nmi,
    /// An INIT is sent.
    Init,
    /// A SIPI is sent.
    Sipi,
}

impl AccessKind {
    /// Whether it is an access to a variable.
    pub fn is_access(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Update)
    }
}

/// How a failure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// No vCPU will ever change anything again.
    Hang,
    /// The guest ends the run with a failure code.
    Report,
    /// A vCPU shuts down.
    TripleFault,
}

/// The maximum number of vCPUs for which the guests' runtime has stacks.
pub const MAX_CPUS: u32 = 64;

/// The guest with this name.
pub fn find(name: &str) -> Option<&'static Guest> {
    catalogue().iter().find(|guest| guest.name == name)
}
