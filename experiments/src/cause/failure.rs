//! Defines when two failures are the same.

use std::collections::BTreeSet;
use std::fmt;

use vmm::end::End;
use vmm::exit::Exit;

use crate::waits::Row;

/// A failure, without what may differ between two runs with the same failure: which vCPUs it
/// affects, and where the other vCPUs are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    verdict: String,
    /// For a hang: the function and the variables of each waiting vCPU, or where vCPUs sleep if
    /// none waits.
    spots: BTreeSet<String>,
}

impl Failure {
    /// The failure of a run with this end.
    pub(super) fn new(ending: &End, waits: &[Row]) -> Self {
        let (verdict, hangs) = match ending {
            End::Hang(_) => (ending.to_string(), true),
            End::TripleFault { .. } => (Exit::Shutdown.name().into(), false),
            End::Kvm { exit, .. } => (exit.name().into(), false),
            other => (other.to_string(), false),
        };
        let of = |kinds: &[&str]| -> BTreeSet<String> {
            let rows = waits.iter().filter(|row| kinds.contains(&row.waits_for.as_str()));
            rows.map(spot).collect()
        };
        let mut spots = BTreeSet::new();
        if hangs {
            spots = of(&["change", "loop"]);
            if spots.is_empty() {
                spots = of(&["interrupt"]);
            }
        }
        Self { verdict, spots }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verdict)?;
        for (number, spot) in self.spots.iter().enumerate() {
            write!(f, "{} {spot}", if number == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// Where a vCPU is and what it waits for.
fn spot(row: &Row) -> String {
    // An element of an array counts as the array, because the index may depend on the vCPU.
    let variable = |value: &crate::waits::Value| {
        value.variable.split('+').next().unwrap_or_default().to_owned()
    };
    let variables: BTreeSet<_> = row.values.iter().map(variable).collect();
    let names: Vec<_> = variables.into_iter().collect();
    match names.as_slice() {
        [] => row.function().to_owned(),
        names => format!("{} for {}", row.function(), names.join(" and ")),
    }
}
