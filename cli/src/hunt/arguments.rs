//! Interprets the arguments of `hunt`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use experiments::{Finding, Schedule, StrategyKind, StrategySpec};
use vmm::signals::Signals;

use crate::args::HuntArgs;
use crate::input;

/// The hang budget. One that the user gives must be smaller than the budget, or it would have no
/// effect.
pub(super) fn hang_budget(args: &HuntArgs) -> Result<u64> {
    match args.hang_budget {
        Some(points) if points >= args.budget => {
            bail!(
                "--hang-budget {points}: a run ends after {} points (--budget): give less",
                args.budget
            )
        }
        Some(points) => Ok(points),
        None => Ok(args.granularity.hang_budget()),
    }
}

/// The strategy that the arguments ask for.
pub(super) fn strategy(args: &HuntArgs, signals: &Signals) -> Result<StrategySpec> {
    Ok(match (args.strategy, &args.schedule) {
        (None | Some(StrategyKind::Schedule), Some(given)) => {
            StrategySpec::Schedule(schedule(given, signals)?)
        }
        (Some(other), Some(_)) => {
            bail!("--schedule: that is for --strategy schedule, not for {other}")
        }
        (Some(StrategyKind::Schedule), None) => {
            bail!("--strategy schedule: say which by --schedule, such as 0@120>3@44>3! or @FILE")
        }
        (Some(StrategyKind::RoundRobin), None) if !args.fault.is_empty() => {
            bail!("--strategy round-robin: it lets no fault strike: leave it out, or use --faults")
        }
        (Some(StrategyKind::RoundRobin), None) => StrategySpec::RoundRobin,
        (None | Some(StrategyKind::Portfolio), None) => StrategySpec::Portfolio,
        (Some(StrategyKind::Random), None) => StrategySpec::Random,
        (Some(StrategyKind::Uniform), None) => StrategySpec::Uniform,
        (Some(StrategyKind::Pct), None) => StrategySpec::Pct { depth: args.depth },
    })
}

/// The schedule of `--schedule`, given as text or in a file.
fn schedule(given: &str, signals: &Signals) -> Result<Schedule> {
    let schedule: Schedule = match given.strip_prefix('@') {
        None => given.parse().context("--schedule")?,
        Some(path) => {
            let text = input::text(Path::new(path), signals)
                .with_context(|| format!("--schedule @{path}: can't be read"))?;
            if Finding::begins(&text) {
                let finding = Finding::from_bytes(Path::new(path), text.into_bytes());
                finding.context("--schedule")?.schedule()?
            } else {
                text.parse().with_context(|| format!("--schedule @{path}"))?
            }
        }
    };
    if schedule.points() == 0 {
        bail!("--schedule {given}: it is empty");
    }
    Ok(schedule)
}
