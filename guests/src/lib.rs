//! Small kernels with a known bug, and their fixed twins.
//!
//! Each is a complete ELF image, built from the C and assembly sources beside this crate and embedded in it: what it needs of a
//! hypervisor, and how to add one, is in this folder's README. This crate is data: it imports no other room.

#![forbid(unsafe_code)]

mod cases;
mod catalogue;
#[cfg(test)]
mod tests;

pub use cases::{Case, case, cases};
pub use catalogue::catalogue;

/// A guest image and what one should know before running it.
#[derive(Debug)]
pub struct Guest {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The ELF image, page-aligned, so that it may be parsed where it lies.
    pub image: &'static [u8],
    /// How many vCPUs it is about. It runs with any number from 1 to [`MAX_CPUS`], told by `cpus=N` on its command line.
    pub default_cpus: u32,
    /// With fewer vCPUs than that there is nothing to see: a guest that races says so, and ends well.
    pub min_cpus: u32,
    /// It runs for ever by design: not to end is no failure.
    pub endless: bool,
    /// The bug in it, if it was written for one.
    pub bug: Option<Bug>,
}

/// A concurrency bug that a guest is known to have.
#[derive(Debug)]
pub struct Bug {
    /// What goes wrong.
    pub what: &'static str,
    /// How many ordering constraints must hold for it to happen.
    pub depth: u32,
    /// How many preemptions the shortest failing schedule has: switches away from a vCPU that could have gone on, or interrupts
    /// where they hurt. Who is the first to go on when the start gate opens is a free choice and not counted.
    pub preemptions: u32,
    /// How the failure shows.
    pub oracle: Oracle,
    /// The orders that make it fail: the ground truth for whoever explains a failure.
    pub pairs: &'static [Pair],
    /// The guest without the bug, with the same layout otherwise.
    pub fixed_twin: &'static str,
}

/// One side of a pair, as an explanation names it.
#[derive(Clone, Copy, Debug)]
struct Side<'a> {
    /// What it does: "read", "write", "update", "interrupt", "off", "nmi", "init" or "sipi".
    kind: &'a str,
    /// The variable, maybe with an offset; anything if it is no access.
    variable: &'a str,
    /// The function.
    function: &'a str,
}

impl Bug {
    /// Whether a pair of an explanation is one of the bug's. `text` is a field of one side of the pair's JSON
    /// (docs/json.md): its name, `first`, `second` or `meets`, and the field's.
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

/// Two accesses to one variable whose order decides, or an access and something that interrupts, or two of these.
///
/// A shortest failing schedule has `first` before `second` in each of a bug's pairs, by two vCPUs, or by a vCPU and its interrupt
/// handler. Turning one pair round, whichever, makes the run pass: an explanation that names one of them is right.
///
/// If an access happens more than once, or two vCPUs run the same function, that is meant which decides: a lost update has a
/// read in `add_one` before *another* vCPU's write in `add_one`, whose own read came earlier still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The variable, by its symbol in `.shared`. Empty if neither side is an access.
    pub variable: &'static str,
    /// What comes first when it fails.
    pub first: Access,
    /// What comes later when it fails.
    pub second: Access,
}

/// One side of a [`Pair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The function whose instruction it is. Empty for an interrupt, which is taken anywhere.
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
            // It is taken anywhere.
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
    /// A load, or a return from a watched stack.
    Read,
    /// A store, or a push or call on a watched stack.
    Write,
    /// A locked read-modify-write.
    Update,
    /// No access: a vCPU takes an interrupt.
    Interrupt,
    /// No access: a vCPU turns its interrupts off.
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
    /// No vCPU will ever do anything else again.
    Hang,
    /// The guest ends the run with a failure code.
    Report,
    /// A vCPU shuts down.
    TripleFault,
}

/// The most vCPUs that the guests' runtime has stacks for.
pub const MAX_CPUS: u32 = 64;

/// The guest of that name.
pub fn find(name: &str) -> Option<&'static Guest> {
    catalogue().iter().find(|guest| guest.name == name)
}
