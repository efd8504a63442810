//! Firings of probes on a vCPU's track.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::track::Track;
use crate::aggregate::lock;
use crate::code::Code;
use crate::engine::Outcome;

/// Writes down what the probes of one vCPU do.
#[derive(Debug)]
pub(crate) struct Firings {
    track: Arc<Mutex<Track>>,
    /// Each probe's point, and its place in the scripts.
    probes: Vec<(Arc<str>, Value)>,
}

impl Firings {
    pub(crate) fn new(track: Arc<Mutex<Track>>, code: &Code) -> Self {
        let probes = code.probes.iter().map(|probe| {
            let place = probe.span.location(&code.sources).to_string();
            (Arc::clone(&probe.name), json!({ "script": place }))
        });
        Self { track, probes: probes.collect() }
    }

    /// A probe's point was reached.
    pub(crate) fn reached(&self, probe: usize, outcome: Outcome, now: Duration) {
        let Some((name, args)) = self.probes.get(probe) else { return };
        let category = match outcome {
            Outcome::Completed => "probe",
            Outcome::Cancelled => "probe,cancelled",
            Outcome::Filtered | Outcome::Unloaded => return,
        };
        lock(&self.track).instant(name, category, now, args);
    }
}
