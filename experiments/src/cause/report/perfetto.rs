//! The schedule as Chrome trace events, which Perfetto opens.
//!
//! There is one thread for each vCPU and a slice for each step, 1 us long as in virtual time. Flow
//! arrows connect the accesses of each pair.

use std::io::{self, Write};

use probes::trace::{Events, track_of};
use serde_json::{Value, json};

use super::Report;
use crate::cause::naming::{Named, NamedStep};

impl Report {
    /// Writes the trace.
    pub fn write_trace(&self, out: impl Write) -> io::Result<()> {
        let title = format!("{}: {}", self.machine.guest, self.verdict);
        let mut events = Events::begin(out, &title, self.machine.cpus)?;
        for step in &self.steps {
            events.put(&slice(step))?;
        }
        for (number, pair) in self.pairs.iter().enumerate() {
            let second = pair.later();
            if pair.first.point > 0 && second.point > 0 {
                events.put(&flow("s", number, &pair.first))?;
                events.put(&flow("f", number, second))?;
            }
        }
        events.end()
    }
}

fn slice(step: &NamedStep) -> Value {
    let name = match &step.access {
        Some(access) => format!("{} {}", access.noun(), access.variable),
        None if step.interrupt => "interrupt".into(),
        None => "runs".into(),
    };
    json!({
        "ph": "X", "pid": 1, "tid": track_of(step.vcpu), "ts": step.point, "dur": 1, "name": name,
        "cat": if step.switch { "switch" } else { "step" }, "args": step,
    })
}

fn flow(phase: &str, number: usize, access: &Named) -> Value {
    // A flow binds to the slice that contains its time.
    json!({
        "ph": phase, "bp": "e", "pid": 1, "tid": track_of(access.vcpu),
        "ts": access.point as f64 + 0.5, "id": number + 1, "name": "fails in this order",
        "cat": "pair",
    })
}
