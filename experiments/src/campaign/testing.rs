//! Examples for tests.

use super::description::{CellDescription, Description, Image, Shard};
use super::record::RunRecord;
use crate::experiment::Limits;

/// A campaign of two cells.
pub(super) fn description(asked: u64) -> Description {
    let cell = |name: &str, cpus: &str| CellDescription {
        name: name.into(),
        levels: vec![("phase".into(), name.into()), ("cpus".into(), cpus.into())],
        asked,
        first_seed: 7,
        command: format!("jitterbug run {name} --cpus {cpus}"),
    };
    Description {
        file: "/x.toml".into(),
        file_hash: "1".into(),
        file_text: "text".into(),
        about: "about".into(),
        limits: Limits::default(),
        keep: 3,
        shard: Shard::ALL,
        images: vec![Image { name: "hello".into(), hash: "2".into() }],
        cells: vec![cell("one", "1"), cell("two", "2")],
    }
}

/// A run; with a kind it failed.
pub(super) fn run(cell: usize, seed: u64, kind: Option<&str>) -> RunRecord {
    RunRecord {
        cell,
        seed,
        result: if kind.is_some() { "hang" } else { "success" }.into(),
        description: "description".into(),
        failed: kind.is_some(),
        kind: kind.map(Into::into),
        seconds: 0.5,
        guest_exits: 10,
        injections: 2,
        injected_seconds: 0.25,
        faults: Vec::new(),
        report: None,
    }
}
