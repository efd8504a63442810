//! The criteria by which a run succeeds or fails, besides what the guest does to the machine.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use experiments::experiment::FailureCriteria;
use inspect::Symbols;
use vmm::Criteria;
use vmm::criteria::{Pattern, Place};

#[derive(Clone, Debug, Args)]
pub(crate) struct CriteriaArgs {
    /// Success: a line of the guest's console contains this. `*` stands for anything, `?` for one
    /// byte, `\` before a character for the character itself (may be given more than once; so may
    /// the other three)
    #[arg(long, value_name = "PATTERN")]
    ok: Vec<Pattern>,

    /// Failure: a line of the guest's console contains this, such as 'BUG: * lockup'
    #[arg(long, value_name = "PATTERN")]
    fail: Vec<Pattern>,

    /// Success: a vCPU reaches this function, symbol+offset or address
    #[arg(long, value_name = "SYMBOL")]
    ok_at: Vec<String>,

    /// Failure: a vCPU reaches this function, symbol+offset or address, such as panic
    #[arg(long, value_name = "SYMBOL")]
    fail_at: Vec<String>,
}

impl CriteriaArgs {
    /// The criteria of an experiment file.
    pub(crate) fn of(given: &FailureCriteria) -> Self {
        let FailureCriteria { ok, fail, ok_at, fail_at } = given.clone();
        Self { ok, fail, ok_at, fail_at }
    }

    /// The criteria, for a guest with these symbols. `may_idle` is [`Criteria::may_idle`].
    pub(crate) fn criteria(&self, symbols: Option<&Symbols>, may_idle: bool) -> Result<Criteria> {
        let places = |option: &str, given: &[String]| {
            let place = |symbol: &String| {
                let address = address(symbol, symbols)
                    .map_err(|problem| anyhow!("{option} {symbol}: {problem}"))?;
                Ok(Place { symbol: symbol.clone(), address })
            };
            given.iter().map(place).collect::<Result<Vec<_>>>()
        };
        Ok(Criteria {
            ok: self.ok.clone(),
            fail: self.fail.clone(),
            ok_at: places("--ok-at", &self.ok_at)?,
            fail_at: places("--fail-at", &self.fail_at)?,
            may_idle,
        })
    }
}

/// The address of `symbol`, `symbol+0x12` or `0xffffffff80000000`.
pub(super) fn address(place: &str, symbols: Option<&Symbols>) -> Result<u64> {
    if let Some(address) = number(place) {
        return Ok(address);
    }
    let Some(symbols) = symbols else {
        bail!(
            "there are no symbols to look it up in; write the address, such as 0xffffffff80000000"
        )
    };
    if let Some(address) = symbols.address(place) {
        return Ok(address);
    }
    let (name, offset) = match place.split_once('+') {
        None => (place, 0),
        Some((name, offset)) => match number(offset) {
            Some(offset) => (name, offset),
            None => bail!("{offset} is no offset; write for example {name}+0x12"),
        },
    };
    let start = symbols.address(name).ok_or_else(|| {
        let near = symbols.nearest(name);
        let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        anyhow!("{} has no symbol {name}{hint}", symbols.name())
    })?;
    Ok(start.wrapping_add(offset))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
