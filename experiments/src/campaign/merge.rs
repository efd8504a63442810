//! Merges the parts of a campaign.

use std::path::{Path, PathBuf};

use super::description::{Description, Shard};
use super::record::RunRecord;
use super::store::{Store, StoreError, add_cut_short, insert_runs, insert_session};

/// Why campaigns can't be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two of them are not of the same experiment.
    #[error("{first} and {second} are not parts of one campaign: {difference}")]
    Differ {
        /// The first of them.
        first: String,
        /// The second.
        second: String,
        /// The difference.
        difference: String,
    },
    /// Two of them have the same run.
    #[error(
        "{second}: it has the run of seed {seed} of `{cell}`, which is in another of these \
         campaigns, too"
    )]
    Twice {
        /// The campaign.
        second: String,
        /// The cell's name.
        cell: String,
        /// The seed.
        seed: u64,
    },
}

/// Merges the campaigns in these folders into a new one in `out`, which has all of their runs.
/// Returns its store. An error leaves no campaign there.
pub fn merge(folders: &[PathBuf], out: &Path) -> Result<Store, MergeError> {
    let mut parts = Vec::new();
    for folder in folders {
        let store = Store::read(folder)?;
        let description = store.description()?;
        let runs = store.runs()?;
        parts.push((store, description, runs));
    }
    let Some((first, rest)) = parts.split_first() else {
        return Err(StoreError::Missing { path: "no folder".into() }.into());
    };
    for (store, description, _) in rest {
        if let Some(difference) = first.1.difference(description) {
            return Err(MergeError::Differ {
                first: first.0.folder().display().to_string(),
                second: store.folder().display().to_string(),
                difference,
            });
        }
    }
    check_no_run_twice(&parts)?;
    let description = Description { shard: Shard::ALL, ..first.1.clone() };
    let keep = description.keep;
    let mut read = Vec::new();
    for (store, _, mut runs) in parts {
        for kept in store.kept()? {
            let place = runs.binary_search_by_key(&(kept.cell, kept.seed), |it| (it.cell, it.seed));
            if let Ok(place) = place {
                runs[place].report = Some(kept.report);
            }
        }
        read.push((runs, store.sessions()?, store.cut_short()?));
    }
    let merged = Store::create_with(out, &description, |transaction| {
        for (runs, sessions, cut_short) in &read {
            insert_runs(transaction, runs, keep)?;
            for session in sessions {
                insert_session(transaction, session)?;
            }
            add_cut_short(transaction, cut_short)?;
        }
        Ok(())
    })?;
    Ok(merged)
}

/// Fails if a run is in two of the parts, so that nothing is written then.
fn check_no_run_twice(parts: &[(Store, Description, Vec<RunRecord>)]) -> Result<(), MergeError> {
    let mut seen = std::collections::HashSet::new();
    for (store, description, runs) in parts {
        for run in runs {
            if !seen.insert((run.cell, run.seed)) {
                let cell = description.cells.get(run.cell);
                return Err(MergeError::Twice {
                    second: store.folder().display().to_string(),
                    cell: cell.map_or_else(|| run.cell.to_string(), |cell| cell.name.clone()),
                    seed: run.seed,
                });
            }
        }
    }
    Ok(())
}
