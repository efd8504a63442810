//! Writes rows into the tables of a campaign's store, within a transaction.

use rusqlite::{Transaction, params};

use super::description::{Description, Image};
use super::record::{FaultRecord, RunRecord, SessionId, SessionRow};

/// Writes what the campaign is.
pub(super) fn describe(
    transaction: &Transaction,
    description: &Description,
) -> rusqlite::Result<()> {
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
        "INSERT INTO sessions (shard, jobs, seconds, ended, build, runs) VALUES (?, ?, ?, ?, ?, ?)",
        params![row.shard, row.jobs, row.seconds, row.ended, row.build, row.runs as i64],
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
    let mut insert = transaction.prepare_cached("INSERT INTO faults VALUES (?, ?, ?, ?, ?, ?)")?;
    for (position, FaultRecord { fault, matched, struck }) in (0i64..).zip(&run.faults) {
        let (cell, seed) = (run.cell as i64, run.seed as i64);
        insert.execute(params![cell, seed, position, fault, *matched as i64, *struck as i64])?;
    }
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
