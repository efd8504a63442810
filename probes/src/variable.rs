//! The built-in variables, through which VP and Emmett scripts read the state of a vCPU.

mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

use vmm::registers::{DebugRegisters, Registers, SystemRegisters};

pub use table::all;

/// A built-in integer variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The variable's name, in capitals.
    pub name: &'static str,
    /// Where its value comes from.
    pub from: From,
}

/// Where a built-in variable's value comes from.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// The general registers.
    General(fn(&Registers) -> u64),
    /// Segments, descriptor tables and control registers.
    System(fn(&SystemRegisters) -> u64),
    /// The debug registers.
    Debug(fn(&DebugRegisters) -> u64),
    /// A model-specific register of the vCPU.
    Msr(u32),
    /// The frequency of the vCPU's time-stamp counter.
    TscFrequency,
    /// The vCPU's number.
    VcpuId,
    /// How many vCPUs the machine has.
    NumVcpus,
    /// The host processor that runs the vCPU's thread now.
    HostProcessor,
    /// The host's id for the vCPU's thread.
    HostThread,
    /// Nanoseconds since the machine's start, in the scheduler's time.
    Elapsed,
    /// The probe's argument of this number.
    Argument(u8),
}

impl From {
    /// Whether the value belongs to a vCPU, and not to the machine or to the probe.
    pub fn is_of_vcpu(self) -> bool {
        !matches!(
            self,
            Self::NumVcpus
                | Self::HostProcessor
                | Self::HostThread
                | Self::Elapsed
                | Self::Argument(_)
        )
    }
}

/// What a built-in name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Builtin {
    /// An integer variable.
    Integer(Variable),
    /// A named constant.
    Constant(u64),
    /// `PROBENAME`.
    ProbeName,
    /// `EXITNAME`.
    ExitName,
    /// A variable of `VProbes` that is not available here; the text says why.
    Missing(&'static str),
}

/// Looks up a built-in variable for use as a value. If runs are `repeatable`, variables of the host
/// are not available.
pub fn value(name: &str, repeatable: bool) -> Option<Builtin> {
    const OF_THE_HOST: &str = "it is the host's affair, and each replay is to print the same";
    match find(name)? {
        Builtin::Integer(Variable { from: From::HostProcessor | From::HostThread, .. })
            if repeatable =>
        {
            Some(Builtin::Missing(OF_THE_HOST))
        }
        builtin => Some(builtin),
    }
}

/// Looks up a built-in variable.
pub fn find(name: &str) -> Option<Builtin> {
    static BUILTINS: LazyLock<HashMap<&str, Builtin>> = LazyLock::new(|| {
        let integers = all().map(|variable| (variable.name, Builtin::Integer(variable)));
        let constants = table::CONSTANTS.iter();
        let constants = constants.map(|(name, value)| (*name, Builtin::Constant(*value)));
        let names = [("PROBENAME", Builtin::ProbeName), ("EXITNAME", Builtin::ExitName)];
        integers.chain(constants).chain(names).collect()
    });
    let known = BUILTINS.get(name).copied();
    known.or_else(|| table::missing(name).map(Builtin::Missing))
}

/// Whether a script can't use this name for its own variables. The built-in variables of `VProbes`
/// are in capitals, so that scripts don't use these names by chance; built-in names that aren't in
/// capitals may be redefined.
pub fn is_reserved(name: &str) -> bool {
    find(name).is_some() && name.to_uppercase() == name
}

/// The names that scripts can use, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> + use<> {
    let constants = table::CONSTANTS.iter().map(|(name, _)| *name);
    all().map(|variable| variable.name).chain(["PROBENAME", "EXITNAME"]).chain(constants)
}

/// The variables of `VProbes` that are not available, each with the reason. A name that ends in `_`
/// stands for all names that begin with it.
pub fn refused() -> impl Iterator<Item = (&'static str, &'static str)> {
    table::MISSING.iter().copied()
}
