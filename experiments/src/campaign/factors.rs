//! The factors of a campaign's report.

use schemars::JsonSchema;
use serde::Serialize;

use super::association::{Association, NothingToTell, association};
use super::description::CellDescription;
use super::statistics::Rate;

/// A factor.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct FactorReport {
    /// The factor: a setting, or `phase`.
    pub factor: String,
    /// How strongly it and the failures are associated; missing if nothing can be told.
    #[serde(flatten)]
    pub association: Option<Association>,
    /// Why nothing can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_to_tell: Option<NothingToTell>,
    /// Its values.
    pub levels: Vec<LevelReport>,
}

/// One value of a factor.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct LevelReport {
    /// The value.
    pub value: String,
    /// How often the runs with it failed.
    #[serde(flatten)]
    pub rate: Rate,
}

/// The factors of all cells. The runs of all cells with one value of a factor are counted together.
pub(super) fn factors(cells: &[CellDescription], cell_rates: &[Rate]) -> Vec<FactorReport> {
    let mut names: Vec<&str> = Vec::new();
    for (factor, _) in cells.iter().flat_map(|cell| &cell.levels) {
        if !names.contains(&&**factor) {
            names.push(factor);
        }
    }
    let mut factors: Vec<FactorReport> = names
        .into_iter()
        .map(|factor| {
            let mut values: Vec<(&str, Vec<Rate>)> = Vec::new();
            for (cell, rate) in cells.iter().zip(cell_rates) {
                let Some((_, value)) = cell.levels.iter().find(|(name, _)| name == factor) else {
                    continue;
                };
                match values.iter_mut().find(|(known, _)| known == value) {
                    Some((_, rates)) => rates.push(*rate),
                    None => values.push((value, vec![*rate])),
                }
            }
            let level = |(value, rates): (&str, Vec<Rate>)| LevelReport {
                value: value.into(),
                rate: Rate::together(&rates),
            };
            let levels: Vec<LevelReport> = values.into_iter().map(level).collect();
            let rates: Vec<Rate> = levels.iter().map(|level| level.rate).collect();
            let (association, nothing_to_tell) = match association(&rates) {
                Ok(association) => (Some(association), None),
                Err(reason) => (None, Some(reason)),
            };
            FactorReport { factor: factor.into(), association, nothing_to_tell, levels }
        })
        .filter(|factor| factor.levels.len() > 1)
        .collect();
    let strength = |factor: &FactorReport| factor.association.map_or(-1.0, |it| it.cramers_v);
    factors.sort_by(|a, b| strength(b).total_cmp(&strength(a)));
    factors
}
