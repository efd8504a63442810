//! The schedule as Chrome trace events, which Perfetto opens.
//!
//! One thread for each vCPU, a slice for each step, 1 us long as virtual time has it, and flow arrows
//! between the accesses of each pair. (The format is Google's "Trace Event Format".)

use serde_json::{Value, json};

use super::Report;
use crate::cause::naming::{Named, NamedStep};

impl Report {
    /// The trace.
    pub fn to_trace(&self) -> Value {
        let mut events: Vec<Value> = Vec::new();
        let process = format!("{}: {}", self.machine.guest, self.verdict);
        events.push(json!({
            "ph": "M", "pid": 1, "name": "process_name", "args": { "name": process },
        }));
        for vcpu in 0..self.machine.cpus {
            events.push(json!({
                "ph": "M", "pid": 1, "tid": vcpu + 1, "name": "thread_name",
                "args": { "name": format!("vCPU {vcpu}") },
            }));
        }
        events.extend(self.steps.iter().map(slice));
        for (number, pair) in self.pairs.iter().enumerate() {
            let second = pair.meets.as_ref().unwrap_or(&pair.second);
            if pair.first.point > 0 && second.point > 0 {
                events.push(flow("s", number, &pair.first));
                events.push(flow("f", number, second));
            }
        }
        json!({ "traceEvents": events, "displayTimeUnit": "ns" })
    }
}

fn slice(step: &NamedStep) -> Value {
    let name = match &step.access {
        Some(access) => format!("{} {}", access.noun(), access.variable),
        None if step.interrupt => "interrupt".into(),
        None => "runs".into(),
    };
    json!({
        "ph": "X", "pid": 1, "tid": step.vcpu + 1, "ts": step.point, "dur": 1, "name": name,
        "cat": if step.switch { "switch" } else { "step" }, "args": step,
    })
}

fn flow(phase: &str, number: usize, access: &Named) -> Value {
    // A flow binds to the slice that its time is in.
    json!({
        "ph": phase, "bp": "e", "pid": 1, "tid": access.vcpu + 1,
        "ts": access.point as f64 + 0.5, "id": number + 1, "name": "fails in this order",
        "cat": "pair",
    })
}
