//! Finds the variables that `--watch` names.

use anyhow::{Context, Result, anyhow, bail};
use experiments::collider::Variable;
use inspect::Symbols;
use probes::point::{self, Access, Mechanisms, NoPoint, Scope};
use vmm::MachineConfig;
use vmm::boot::segments::Segments;

/// The variables of the guest that these arguments name, each once. They are written as behind
/// `GUEST:WRITE:` in scripts.
pub(super) fn find(
    watched: &[String],
    symbols: Option<&Symbols>,
    machine: &MachineConfig,
) -> Result<Vec<Variable>> {
    let segments = Segments::of(&machine.guest);
    let scope = Scope {
        mechanisms: Mechanisms::PARALLEL,
        symbols,
        segments: Some(&segments),
        ..Scope::default()
    };
    let mut variables: Vec<Variable> = Vec::new();
    for place in watched {
        if place.is_empty() {
            bail!("--watch: name a variable, such as --watch counter");
        }
        let prefix = format!("GUEST:{}:", Access::Write.name());
        let found = point::find(&format!("{prefix}{place}"), &scope);
        for found in found.map_err(|problem| refused(place, problem))? {
            let address = found.point.address().context("a place of data")?;
            let name = found.name.strip_prefix(&*prefix).unwrap_or(&found.name).to_owned();
            let physical = segments.physical(address.start, address.length);
            let physical = physical.with_context(|| format!("--watch {place}"))?;
            let variable = Variable { name, linear: address.start, physical };
            if !variables.iter().any(|known| known.physical == variable.physical) {
                variables.push(variable);
            }
        }
    }
    Ok(variables)
}

fn refused(place: &str, problem: NoPoint) -> anyhow::Error {
    match problem {
        NoPoint::Malformed { problem, .. } => anyhow!("--watch {place}: {problem}"),
        other => anyhow!("--watch {place}: {other}"),
    }
}
