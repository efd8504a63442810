//! Merges the parts of a campaign.

use std::path::{Path, PathBuf};

use super::description::{Description, Shard};
use super::insert::{add_cut_short, insert_runs, insert_session};
use super::record::{KeptRow, RunRecord, SessionRow};
use super::store::Store;
use super::store_error::StoreError;

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
    let parts = folders.iter().map(|folder| Part::read(folder));
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    let Some((first, rest)) = parts.split_first() else {
        return Err(StoreError::Missing { path: "no folder".into() }.into());
    };
    for part in rest {
        if let Some(difference) = first.description.difference(&part.description) {
            return Err(MergeError::Differ {
                first: first.folder.display().to_string(),
                second: part.folder.display().to_string(),
                difference,
            });
        }
    }
    let description = Description { shard: Shard::ALL, ..first.description.clone() };
    check_no_run_twice(&parts)?;
    parts.iter_mut().for_each(Part::attach_reports);
    let merged = Store::create_with(out, &description, |transaction| {
        for part in &parts {
            insert_runs(transaction, &part.runs, description.keep)?;
            for session in &part.sessions {
                insert_session(transaction, session)?;
            }
            add_cut_short(transaction, &part.cut_short)?;
        }
        Ok(())
    })?;
    Ok(merged)
}

/// All that the store of a part has.
struct Part {
    folder: PathBuf,
    description: Description,
    runs: Vec<RunRecord>,
    kept: Vec<KeptRow>,
    sessions: Vec<SessionRow>,
    cut_short: Vec<u64>,
}

impl Part {
    fn read(folder: &Path) -> Result<Self, StoreError> {
        Store::read(folder)?.at_one_moment(|store| {
            Ok(Self {
                folder: folder.into(),
                description: store.description()?,
                runs: store.runs()?,
                kept: store.kept()?,
                sessions: store.sessions()?,
                cut_short: store.cut_short()?,
            })
        })
    }

    /// Puts the reports that are kept into their runs.
    fn attach_reports(&mut self) {
        for kept in self.kept.drain(..) {
            let place = (kept.cell, kept.seed);
            let run = self.runs.binary_search_by_key(&place, |run| (run.cell, run.seed));
            if let Ok(run) = run {
                self.runs[run].report = Some(kept.report);
            }
        }
    }
}

/// Fails if a run is in two of the parts, so that nothing is written then.
fn check_no_run_twice(parts: &[Part]) -> Result<(), MergeError> {
    let mut seen = std::collections::HashSet::new();
    for Part { folder, description, runs, .. } in parts {
        for run in runs {
            if !seen.insert((run.cell, run.seed)) {
                let cell = description.cells.get(run.cell);
                return Err(MergeError::Twice {
                    second: folder.display().to_string(),
                    cell: cell.map_or_else(|| run.cell.to_string(), |cell| cell.name.clone()),
                    seed: run.seed,
                });
            }
        }
    }
    Ok(())
}
