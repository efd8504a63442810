//! Records the firings of probes on a vCPU's track.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::track::Track;
use crate::aggregate::lock;
use crate::code::Code;
use crate::engine::Outcome;

/// Records the firings of one vCPU's probes.
#[derive(Debug)]
pub(crate) struct Firings {
    track: Arc<Mutex<Track>>,
    /// For each probe, the name of its point and its place in the scripts.
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

    /// Records that a probe's point was reached, if the probe fired.
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
