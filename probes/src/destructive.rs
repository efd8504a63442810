//! The destructive actions: what scripts may do to the guest if `--destructive` is given.

use crate::point::{Mechanisms, Scope};

/// An address space of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Linear addresses, translated by the guest's page tables.
    Linear,
    /// Guest-physical addresses.
    Physical,
}

impl Space {
    /// The name of the address space in the IR and in instructions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Physical => "physical",
        }
    }
}

/// A function that changes what the guest does, or that writes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestructiveAction {
    /// `delayus`: holds the vCPU out of the guest.
    Delay,
    /// `injectnmi`: sends an NMI.
    Nmi,
    /// `setreg`: sets a general register, RIP or RFLAGS.
    SetRegister,
    /// `poke`, `pokephys`: stores to the guest's memory.
    Poke(Space),
    /// `stopvm`: ends the run.
    Stop,
    /// `suspendvm`: holds all vCPUs until the user resumes them.
    Suspend,
    /// `dump`: writes the machine to a file.
    Dump,
}

impl DestructiveAction {
    /// All actions.
    pub const ALL: [Self; 8] = [
        Self::Delay,
        Self::Nmi,
        Self::SetRegister,
        Self::Poke(Space::Linear),
        Self::Poke(Space::Physical),
        Self::Stop,
        Self::Suspend,
        Self::Dump,
    ];

    /// The function's name in both languages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delayus",
            Self::Nmi => "injectnmi",
            Self::SetRegister => "setreg",
            Self::Poke(Space::Linear) => "poke",
            Self::Poke(Space::Physical) => "pokephys",
            Self::Stop => "stopvm",
            Self::Suspend => "suspendvm",
            Self::Dump => "dump",
        }
    }

    /// A description of the arguments, and the fewest and the most integers. (`dump` takes a
    /// string.)
    pub(crate) fn arguments(self) -> (&'static str, usize, usize) {
        match self {
            Self::Delay => ("microseconds, or the least and the most of them", 1, 2),
            Self::Nmi => ("nothing, or a vCPU's number", 0, 1),
            Self::SetRegister => ("a register such as REG_RAX, and a value", 2, 2),
            Self::Poke(_) => ("an address, a value, and how many bytes of it", 2, 3),
            Self::Stop => ("nothing, or a failure code", 0, 1),
            Self::Suspend => ("nothing", 0, 0),
            Self::Dump => ("a file's name", 0, 0),
        }
    }

    /// Why a script may not use the action: the problem, a label for its place in the script, and
    /// advice. `None` if the script may use it.
    pub(crate) fn refusal(self, scope: &Scope) -> Option<[String; 3]> {
        let name = self.name();
        // A dump doesn't change the guest, but it writes to the user's disk.
        if self != Self::Dump && !scope.mechanisms.contains(Mechanisms::CHANGES) {
            let reason = Mechanisms::CHANGES.lack();
            return Some([
                format!("{name} can't be had here: {reason}"),
                "not in this run".into(),
                "jitterbug run has it, with --destructive".into(),
            ]);
        }
        let what = match self {
            Self::Dump => "writes files",
            _ => "changes what the guest does",
        };
        (!scope.destructive).then(|| {
            [
                format!("{name} {what}, and scripts may only look"),
                "needs --destructive".into(),
                "give --destructive if that is what you want".into(),
            ]
        })
    }
}
