//! The store of a campaign: an `SQLite` database in the campaign's folder.
//!
//! A run is recorded when its transaction is committed. Write-ahead logging with
//! `synchronous=FULL` keeps what is committed through `kill -9` and a loss of power
//! (<https://sqlite.org/pragma.html#pragma_synchronous>), and lets others read meanwhile.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};

use super::description::{CellDescription, Description, Image, Shard};
use super::record::RunRecord;
use crate::commands::quoted_path;
use crate::experiment::Limits;

/// The tables.
const SCHEMA: &str = include_str!("schema.sql");
/// The version of the tables: `user_version` in [`SCHEMA`].
const VERSION: i64 = 2;
/// The database's name in the campaign's folder.
pub const FILE_NAME: &str = "campaign.sqlite";
/// The file by which a campaign's folder is locked.
const LOCK_NAME: &str = "lock";
/// How long to wait for another program that has locked the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a campaign's store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("{path}: there is no campaign (no {FILE_NAME})")]
    Missing {
        /// The folder.
        path: String,
    },
    /// There is one already.
    #[error(
        "{path}: there is a campaign already: go on with it by `jitterbug experiment resume {}`, \
         or name another folder by --out",
        quoted_path(path)
    )]
    Exists {
        /// The folder.
        path: String,
    },
    /// Another process works on it.
    #[error("{path}: another process works on this campaign")]
    Busy {
        /// The folder.
        path: String,
    },
    /// Another version of jitterbug has made it, or it is damaged.
    #[error("{path}: {problem}")]
    Content {
        /// The database.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A file can't be used.
    #[error("{path}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// `SQLite` failed.
    #[error("{path}")]
    Database {
        /// The database.
        path: String,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
}

/// A campaign's store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    folder: PathBuf,
    /// Held while this process works on the campaign.
    _lock: Option<File>,
}

/// A time at which the campaign is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(i64);

/// A row of the table of sessions.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The part that was worked on.
    pub shard: String,
    /// Machines side by side.
    pub jobs: u32,
    /// How long it took.
    pub seconds: f64,
    /// How it ended; `None` if it goes on or was killed.
    pub ended: Option<String>,
}

/// A kept report.
#[derive(Clone, Debug)]
pub struct KeptRow {
    /// The cell.
    pub cell: usize,
    /// The seed.
    pub seed: u64,
    /// The failure's kind.
    pub kind: String,
    /// The report, as JSON.
    pub report: String,
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

    /// Opens a store to read it; another process may work on the campaign meanwhile.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        let path = existing(folder)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags);
        let connection = connection.map_err(|source| database(&path, source))?;
        let store = Self { connection, folder: folder.into(), _lock: None };
        store.sql(|connection| connection.busy_timeout(BUSY_TIMEOUT))?;
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
            let mut query = connection
                .prepare("SELECT shard, jobs, seconds, ended FROM sessions ORDER BY session")?;
            let rows = query.query_map([], |row| {
                Ok(SessionRow {
                    shard: row.get(0)?,
                    jobs: row.get(1)?,
                    seconds: row.get(2)?,
                    ended: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Begins a time of work.
    pub fn begin(&mut self, shard: Shard, jobs: u32) -> Result<SessionId, StoreError> {
        let row = SessionRow { shard: shard.to_string(), jobs, seconds: 0.0, ended: None };
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
                    "UPDATE sessions SET seconds = ? WHERE session = ?",
                    params![time.as_secs_f64(), id],
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

fn describe(transaction: &Transaction, description: &Description) -> rusqlite::Result<()> {
    let Description { limits, .. } = description;
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let values = [
        ("file", Some(description.file.clone())),
        ("file_hash", Some(description.file_hash.clone())),
        ("file_text", Some(description.file_text.clone())),
        ("about", Some(description.about.clone())),
        ("shard", Some(description.shard.to_string())),
        ("keep", Some(description.keep.to_string())),
        ("run_limit", number(limits.runs)),
        ("time_limit_ms", number(limits.time.map(|time| time.as_millis() as u64))),
        ("failures_per_cell", number(limits.failures_per_cell)),
        ("jitterbug", Some(env!("CARGO_PKG_VERSION").into())),
    ];
    for (name, value) in values {
        if let Some(value) = value {
            transaction.execute("INSERT INTO campaign VALUES (?, ?)", params![name, value])?;
        }
    }
    for Image { name, hash } in &description.images {
        transaction.execute("INSERT INTO images VALUES (?, ?)", params![name, hash])?;
    }
    for (number, cell) in (0i64..).zip(&description.cells) {
        transaction.execute(
            "INSERT INTO cells VALUES (?, ?, ?, ?, ?, 0)",
            params![number, cell.name, cell.asked as i64, cell.first_seed as i64, cell.command],
        )?;
        for (position, (factor, value)) in (0i64..).zip(&cell.levels) {
            transaction.execute(
                "INSERT INTO levels VALUES (?, ?, ?, ?)",
                params![number, position, factor, value],
            )?;
        }
    }
    Ok(())
}

/// Inserts runs, and the reports of failures as far as `keep` of their kind allow.
pub(super) fn insert_runs(
    transaction: &Transaction,
    runs: &[RunRecord],
    keep: u32,
) -> rusqlite::Result<()> {
    for run in runs {
        insert(transaction, run)?;
        keep_report(transaction, run, keep)?;
    }
    Ok(())
}

/// Adds a row to the table of sessions.
pub(super) fn insert_session(
    transaction: &Transaction,
    row: &SessionRow,
) -> rusqlite::Result<SessionId> {
    transaction.execute(
        "INSERT INTO sessions (shard, jobs, seconds, ended) VALUES (?, ?, ?, ?)",
        params![row.shard, row.jobs, row.seconds, row.ended],
    )?;
    Ok(SessionId(transaction.last_insert_rowid()))
}

/// Adds numbers of runs that were cut short to those of the cells.
pub(super) fn add_cut_short(transaction: &Transaction, runs: &[u64]) -> rusqlite::Result<()> {
    for (cell, runs) in (0i64..).zip(runs) {
        transaction.execute(
            "UPDATE cells SET cut_short = cut_short + ? WHERE cell = ?",
            params![*runs as i64, cell],
        )?;
    }
    Ok(())
}

fn insert(transaction: &Transaction, run: &RunRecord) -> rusqlite::Result<()> {
    let mut insert =
        transaction.prepare_cached("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    insert.execute(params![
        run.cell as i64,
        run.seed as i64,
        run.result,
        run.description,
        run.failed,
        run.kind,
        run.seconds,
        run.guest_exits as i64,
        run.injections as i64,
        run.injected_seconds,
    ])?;
    Ok(())
}

fn keep_report(transaction: &Transaction, run: &RunRecord, keep: u32) -> rusqlite::Result<()> {
    let (Some(kind), Some(report)) = (&run.kind, &run.report) else { return Ok(()) };
    let mut count = transaction.prepare_cached("SELECT count(*) FROM kept WHERE kind = ?")?;
    let count: i64 = count.query_row([kind], |row| row.get(0))?;
    if count < i64::from(keep) {
        let mut insert = transaction.prepare_cached("INSERT INTO kept VALUES (?, ?, ?, ?)")?;
        insert.execute(params![run.cell as i64, run.seed as i64, kind, report])?;
    }
    Ok(())
}

/// The path of the database in a folder that must have one.
fn existing(folder: &Path) -> Result<PathBuf, StoreError> {
    let path = folder.join(FILE_NAME);
    if path.is_file() {
        return Ok(path);
    }
    Err(StoreError::Missing { path: folder.display().to_string() })
}

/// Locks a campaign's folder. The lock ends with the process.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_NAME);
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|source| file_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::Busy { path: folder.display().to_string() })
        }
        Err(TryLockError::Error(source)) => Err(file_error(&path, source)),
    }
}

fn file_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::File { path: path.display().to_string(), source }
}

fn database(path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Database { path: path.display().to_string(), source }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
