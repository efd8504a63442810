//! What a vCPU's watches cost, and what they could not tell.

use schemars::JsonSchema;
use serde::Serialize;

/// The counts of a vCPU that watches the guest's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct WatchReport {
    /// How often the vCPU left the guest for an access to watched memory, or to other data on its
    /// pages if these are trapped.
    pub exits: u64,
    /// Accesses whose instruction isn't known (data watchpoints only): they were reported without
    /// where they begin and their size.
    pub inexact: u64,
    /// Accesses of which it isn't known whether they are loads (data watchpoints only): they were
    /// not reported as loads.
    pub unreported: u64,
    /// Accesses by repeated string instructions (data watchpoints only): each may stand for
    /// several.
    pub repeated: u64,
    /// Other linear addresses at which the vCPU's page tables have watched memory at the end of
    /// the run (data watchpoints only): accesses through them are not seen.
    #[serde(serialize_with = "crate::hex::list")]
    #[schemars(with = "Vec<String>")]
    pub other_addresses: Vec<u64>,
}

impl WatchReport {
    /// Adds the counts of another vCPU, or of another run.
    pub fn add(&mut self, other: &Self) {
        self.exits += other.exits;
        self.inexact += other.inexact;
        self.unreported += other.unreported;
        self.repeated += other.repeated;
        self.other_addresses.extend(&other.other_addresses);
        self.other_addresses.sort_unstable();
        self.other_addresses.dedup();
    }
}
