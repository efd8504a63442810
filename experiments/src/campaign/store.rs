//! The store of a campaign: an `SQLite` database in the campaign's folder.
//!
//! A run is recorded when its transaction is committed. Write-ahead logging with
//! `synchronous=FULL` keeps what is committed through `kill -9` and a loss of power
//! (<https://sqlite.org/pragma.html#pragma_synchronous>), and lets others read meanwhile.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::description::{CellDescription, Description, Image, Shard};
use super::folder::{BUSY_TIMEOUT, existing, lock};
use super::insert::{add_cut_short, describe, insert_runs, insert_session};
use super::reading;
use super::record::{FaultRecord, KeptRow, RunRecord, SessionId, SessionRow};
use super::store_error::{FILE_NAME, StoreError, database, file_error};
use crate::experiment::Limits;

/// The tables.
const SCHEMA: &str = include_str!("schema.sql");
/// The version of the tables: `user_version` in [`SCHEMA`].
const VERSION: i64 = 3;
/// A campaign's store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    folder: PathBuf,
    /// Held while this process works on the campaign.
    _lock: Option<File>,
}

impl Store {
    /// Makes the store of a new campaign in this folder, which is made if it is missing. Fails if
    /// it has a campaign.
    pub fn create(folder: &Path, description: &Description) -> Result<Self, StoreError> {
        Self::create_with(folder, description, |_| Ok(()))
    }

    /// Makes the store of a new campaign with what `fill` writes, all or nothing.
    pub(super) fn create_with(
        folder: &Path,
        description: &Description,
        fill: impl FnOnce(&Transaction) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
        let lock = lock(folder)?;
        let path = folder.join(FILE_NAME);
        let connection = Connection::open(&path).map_err(|source| database(&path, source))?;
        let mut store = Self { connection, folder: folder.into(), _lock: Some(lock) };
        // A process that was killed while it made the store has left no tables.
        if store.version()? != 0 {
            return Err(StoreError::Exists { path: folder.display().to_string() });
        }
        store.set_up()?;
        store.transaction(|transaction| {
            transaction.execute_batch(SCHEMA)?;
            describe(transaction, description)?;
            fill(transaction)
        })?;
        Ok(store)
    }

    /// Opens a store to work on the campaign.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = existing(folder)?;
        let lock = lock(folder)?;
        let connection = Connection::open(&path).map_err(|source| database(&path, source))?;
        let store = Self { connection, folder: folder.into(), _lock: Some(lock) };
        store.set_up()?;
        store.check()?;
        Ok(store)
    }

    /// Opens a store to read it; another process may work on the campaign meanwhile. The folder
    /// need not be one that can be written, unless a log is there that has to be read with it.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        existing(folder)?;
        let (connection, lock) = reading::open(folder)?;
        let store = Self { connection, folder: folder.into(), _lock: lock };
        store.check()?;
        Ok(store)
    }

    fn set_up(&self) -> Result<(), StoreError> {
        self.sql(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")
        })
    }

    fn version(&self) -> Result<i64, StoreError> {
        self.sql(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))
    }

    fn check(&self) -> Result<(), StoreError> {
        let problem = match self.version()? {
            VERSION => return Ok(()),
            0 => {
                "it has no campaign: its process was killed before the first run; remove the folder"
            }
            _ => "another version of jitterbug has made it",
        };
        Err(self.damaged(problem))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    fn damaged(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Content { path: self.path().display().to_string(), problem: problem.into() }
    }

    fn sql<T>(
        &self,
        action: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        action(&self.connection).map_err(|source| database(&self.path(), source))
    }

    fn transaction<T>(
        &mut self,
        action: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let path = self.path();
        let run = || -> rusqlite::Result<T> {
            let transaction = self.connection.transaction()?;
            let result = action(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|source| database(&path, source))
    }

    /// Reads several things at one moment, although another process may work on the campaign.
    pub fn at_one_moment<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // It ends, and has nothing to undo, when it is dropped. The method is "unchecked" because
        // an inner transaction would fail; the only others are those of `transaction`, which needs
        // the store for itself.
        let transaction = self.connection.unchecked_transaction();
        let transaction = transaction.map_err(|source| database(&self.path(), source))?;
        let result = read(self);
        drop(transaction);
        result
    }

    /// What the campaign is.
    pub fn description(&self) -> Result<Description, StoreError> {
        let value = |name: &str| -> Result<String, StoreError> {
            self.optional(name)?.ok_or_else(|| self.damaged(format!("it has no `{name}`")))
        };
        let number = |name: &str| -> Result<Option<u64>, StoreError> {
            let text = self.optional(name)?;
            let parsed = text.map(|text| text.parse());
            parsed.transpose().map_err(|_| self.damaged(format!("its `{name}` is no number")))
        };
        let shard = value("shard")?.parse::<Shard>().map_err(|problem| self.damaged(problem))?;
        Ok(Description {
            file: value("file")?,
            file_hash: value("file_hash")?,
            file_text: value("file_text")?,
            about: value("about")?,
            limits: Limits {
                runs: number("run_limit")?,
                time: number("time_limit_ms")?.map(Duration::from_millis),
                failures_per_cell: number("failures_per_cell")?,
            },
            keep: number("keep")?.unwrap_or(0) as u32,
            shard,
            images: self.images()?,
            cells: self.cells()?,
        })
    }

    fn optional(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.sql(|connection| {
            let mut query = connection.prepare("SELECT value FROM campaign WHERE name = ?")?;
            query.query_row([name], |row| row.get(0)).optional()
        })
    }

    fn images(&self) -> Result<Vec<Image>, StoreError> {
        self.sql(|connection| {
            let mut query = connection.prepare("SELECT name, hash FROM images ORDER BY name")?;
            let rows =
                query.query_map([], |row| Ok(Image { name: row.get(0)?, hash: row.get(1)? }))?;
            rows.collect()
        })
    }

    fn cells(&self) -> Result<Vec<CellDescription>, StoreError> {
        self.sql(|connection| {
            let mut levels = connection
                .prepare("SELECT factor, value FROM levels WHERE cell = ? ORDER BY position")?;
            let mut query = connection.prepare(
                "SELECT cell, name, asked, first_seed, command FROM cells ORDER BY cell",
            )?;
            let rows = query.query_map([], |row| {
                let levels = levels
                    .query_map([row.get::<_, i64>(0)?], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(CellDescription {
                    name: row.get(1)?,
                    levels: levels.collect::<rusqlite::Result<_>>()?,
                    asked: row.get::<_, i64>(2)? as u64,
                    first_seed: row.get::<_, i64>(3)? as u64,
                    command: row.get(4)?,
                })
            })?;
            rows.collect()
        })
    }

    /// All runs that are recorded, in the order of cells and seeds, without their reports.
    pub fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let mut runs = self.runs_alone()?;
        for (cell, seed, fault) in self.faults()? {
            // Two transactions may have been read, so there may be faults of later runs.
            if let Ok(run) = runs.binary_search_by_key(&(cell, seed), |run| (run.cell, run.seed)) {
                runs[run].faults.push(fault);
            }
        }
        Ok(runs)
    }

    /// How often faults struck, in the order of cells, seeds and faults.
    fn faults(&self) -> Result<Vec<(usize, u64, FaultRecord)>, StoreError> {
        self.sql(|connection| {
            let mut query = connection.prepare(
                "SELECT cell, seed, fault, matched, struck FROM faults \
                 ORDER BY cell, seed, position",
            )?;
            let rows = query.query_map([], |row| {
                let fault = FaultRecord {
                    fault: row.get(2)?,
                    matched: row.get::<_, i64>(3)? as u64,
                    struck: row.get::<_, i64>(4)? as u64,
                };
                Ok((row.get::<_, i64>(0)? as usize, row.get::<_, i64>(1)? as u64, fault))
            })?;
            rows.collect()
        })
    }

    /// All runs without their faults.
    fn runs_alone(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.sql(|connection| {
            let mut query = connection.prepare(
                "SELECT cell, seed, result, description, failed, kind, seconds, guest_exits, \
                 injections, injected_seconds FROM runs ORDER BY cell, seed",
            )?;
            let rows = query.query_map([], |row| {
                Ok(RunRecord {
                    cell: row.get::<_, i64>(0)? as usize,
                    seed: row.get::<_, i64>(1)? as u64,
                    result: row.get(2)?,
                    description: row.get(3)?,
                    failed: row.get(4)?,
                    kind: row.get(5)?,
                    seconds: row.get(6)?,
                    guest_exits: row.get::<_, i64>(7)? as u64,
                    injections: row.get::<_, i64>(8)? as u64,
                    injected_seconds: row.get(9)?,
                    faults: Vec::new(),
                    report: None,
                })
            })?;
            rows.collect()
        })
    }

    /// The reports that are kept, in the order of cells and seeds.
    pub fn kept(&self) -> Result<Vec<KeptRow>, StoreError> {
        self.sql(|connection| {
            let mut query = connection
                .prepare("SELECT cell, seed, kind, report FROM kept ORDER BY cell, seed")?;
            let rows = query.query_map([], |row| {
                Ok(KeptRow {
                    cell: row.get::<_, i64>(0)? as usize,
                    seed: row.get::<_, i64>(1)? as u64,
                    kind: row.get(2)?,
                    report: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// The times at which the campaign was worked on.
    pub fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.sql(|connection| {
            let mut query = connection.prepare(
                "SELECT shard, jobs, seconds, ended, build, runs FROM sessions ORDER BY session",
            )?;
            let rows = query.query_map([], |row| {
                Ok(SessionRow {
                    shard: row.get(0)?,
                    jobs: row.get(1)?,
                    seconds: row.get(2)?,
                    ended: row.get(3)?,
                    build: row.get(4)?,
                    runs: row.get::<_, i64>(5)? as u64,
                })
            })?;
            rows.collect()
        })
    }

    /// Begins a time of work.
    pub fn begin(&mut self, shard: Shard, jobs: u32, build: &str) -> Result<SessionId, StoreError> {
        let row = SessionRow {
            shard: shard.to_string(),
            jobs,
            seconds: 0.0,
            ended: None,
            build: build.into(),
            runs: 0,
        };
        self.transaction(|transaction| insert_session(transaction, &row))
    }

    /// Records runs, all or none, and how long the session has taken so far. The reports of
    /// failures are kept as far as `keep` of their kind allow.
    pub fn record(
        &mut self,
        runs: &[RunRecord],
        keep: u32,
        session: Option<(SessionId, Duration)>,
    ) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            insert_runs(transaction, runs, keep)?;
            if let Some((SessionId(id), time)) = session {
                transaction.execute(
                    "UPDATE sessions SET seconds = ?, runs = runs + ? WHERE session = ?",
                    params![time.as_secs_f64(), runs.len() as i64, id],
                )?;
            }
            Ok(())
        })
    }

    /// Ends a time of work. `cut_short` has for each cell the runs that the user has ended in it
    /// while they ran.
    pub fn end(
        &mut self,
        SessionId(id): SessionId,
        time: Duration,
        ended: &str,
        cut_short: &[u64],
    ) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            add_cut_short(transaction, cut_short)?;
            transaction.execute(
                "UPDATE sessions SET seconds = ?, ended = ? WHERE session = ?",
                params![time.as_secs_f64(), ended, id],
            )
        })
        .map(drop)
    }

    /// For each cell, the runs that the user has ended while they ran.
    pub fn cut_short(&self) -> Result<Vec<u64>, StoreError> {
        self.sql(|connection| {
            let mut query = connection.prepare("SELECT cut_short FROM cells ORDER BY cell")?;
            let rows = query.query_map([], |row| Ok(row.get::<_, i64>(0)? as u64))?;
            rows.collect()
        })
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
