//! Finds the variables that `--watch` names.

use anyhow::{Context, Result, anyhow, bail};
use experiments::collider::{Sought, Variable};
use inspect::Symbols;
use probes::point::{self, Access, Mechanisms, NoPoint, Scope};
use vmm::MachineConfig;
use vmm::boot::kind::{ImageKind, is_linux};
use vmm::boot::segments::Segments;

/// The variables that the arguments name.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Those that have a place in the guest's image, each once.
    pub(super) known: Vec<Variable>,
    /// Those that are sought in the running kernel, each once.
    pub(super) sought: Vec<Sought>,
}

/// Finds the variables. They are written as behind `GUEST:WRITE:` in scripts. Of Linux they can
/// also be those of modules, and those of a kernel that decides its addresses when it starts.
pub(super) fn find(
    watched: &[String],
    symbols: Option<&Symbols>,
    machine: &MachineConfig,
) -> Result<Named> {
    let segments = Segments::of(&machine.guest);
    let scope = Scope {
        mechanisms: Mechanisms::PARALLEL,
        symbols,
        segments: Some(&segments),
        ..Scope::default()
    };
    let moves = ImageKind::of(&machine.guest.bytes) == Some(ImageKind::BzImage);
    let is_linux = moves || is_linux(&machine.guest.bytes);
    let mut named = Named::default();
    for place in watched {
        if place.is_empty() {
            bail!("--watch: name a variable, such as --watch counter");
        }
        let sought = sought(place).filter(|_| is_linux);
        // What the kernel's own symbols don't have may be in a module.
        let has = |name: &str| symbols.is_some_and(|symbols| symbols.symbol(name).is_some());
        if let Some(sought) = &sought
            && (moves || sought.module.is_some() || !has(&sought.name))
        {
            named.seek(sought, place)?;
            continue;
        }
        if moves {
            bail!(
                "--watch {place}: the kernel decides its addresses when it starts: name a variable, \
                 such as --watch jiffies_64, or one of a module, such as --watch MODULE:VARIABLE"
            );
        }
        let prefix = format!("GUEST:{}:", Access::Write.name());
        let found = point::find(&format!("{prefix}{place}"), &scope);
        let found = found.map_err(|problem| refused(place, problem))?;
        for found in found {
            let address = found.point.address().context("a place of data")?;
            let name = found.name.strip_prefix(&*prefix).unwrap_or(&found.name).to_owned();
            let physical = segments.physical(address.start, address.length);
            let physical = physical.with_context(|| format!("--watch {place}"))?;
            let variable = Variable { name, linear: address.start, physical };
            if !named.known.iter().any(|known| known.physical == variable.physical) {
                named.known.push(variable);
            }
        }
    }
    Ok(named)
}

impl Named {
    /// Fails if the same variable is sought already, with another size: their names are the same.
    fn seek(&mut self, sought: &Sought, place: &str) -> Result<()> {
        let is_same = |it: &&Sought| it.module == sought.module && it.name == sought.name;
        match self.sought.iter().find(is_same) {
            None => self.sought.push(sought.clone()),
            Some(known) if known.bytes == sought.bytes => {}
            Some(known) => {
                let bytes = known.bytes.map_or(String::new(), |bytes| format!(":{bytes}"));
                bail!(
                    "--watch {place}: --watch {known}{bytes} means the same variable with another \
                     size: give the larger one only"
                );
            }
        }
        Ok(())
    }

    /// The names, as they were given.
    pub(super) fn names(&self) -> Vec<String> {
        let known = self.known.iter().map(|variable| variable.name.clone());
        known.chain(self.sought.iter().map(ToString::to_string)).collect()
    }
}

/// What `VARIABLE`, `MODULE:VARIABLE` and `:BYTES` behind either mean; `None` if it is something
/// else, such as an address or a pattern.
fn sought(place: &str) -> Option<Sought> {
    let is_name = |part: &&str| {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_.$-".contains(letter);
        part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && part.chars().all(is_part)
    };
    let mut parts: Vec<&str> = place.split(':').collect();
    let bytes = parts.last().and_then(|last| last.parse().ok()).filter(|bytes| *bytes > 0);
    if bytes.is_some() {
        parts.pop();
    }
    let (module, name) = match *parts {
        [name] => (None, name),
        [module, name] => (Some(module), name),
        _ => return None,
    };
    let are_names = is_name(&name) && module.as_ref().is_none_or(is_name);
    are_names.then(|| Sought { module: module.map(Into::into), name: name.into(), bytes })
}

fn refused(place: &str, problem: NoPoint) -> anyhow::Error {
    match problem {
        NoPoint::Malformed { problem, .. } => anyhow!("--watch {place}: {problem}"),
        other => anyhow!("--watch {place}: {other}"),
    }
}

#[cfg(test)]
#[path = "variables_tests.rs"]
mod tests;
