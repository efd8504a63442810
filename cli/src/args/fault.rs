//! The faults of a machine, with the addresses of their symbols.

use anyhow::{Result, anyhow};
use inspect::Symbols;
use vmm::FaultSpec;

use super::criteria::address;

/// These faults, for a guest with these symbols. Fails if a symbol is not among them.
pub(crate) fn resolved<'a>(
    faults: impl IntoIterator<Item = &'a FaultSpec>,
    symbols: Option<&Symbols>,
) -> Result<Vec<FaultSpec>> {
    let resolved = |fault: &FaultSpec| {
        let mut resolved = fault.clone();
        resolved
            .resolve(|symbol| address(symbol, symbols))
            .map_err(|problem| anyhow!("--fault {fault}: {problem}"))?;
        Ok(resolved)
    };
    faults.into_iter().map(resolved).collect()
}
