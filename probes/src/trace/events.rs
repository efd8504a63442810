//! Trace events as JSON, one behind the other.
//!
//! The format is Google's "Trace Event Format", in its form of an object. Times are microseconds, and
//! the order of events in the file doesn't matter.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

/// The thread number of a vCPU's track: 0 is none.
pub fn track_of(vcpu: u32) -> u32 {
    vcpu + 1
}

/// Writes a trace.
pub struct Events<W> {
    out: W,
}

impl<W: Write> Events<W> {
    /// Begins a trace of a machine with so many vCPUs, called `title`.
    pub fn begin(mut out: W, title: &str, vcpus: u32) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        let name = json!({
            "ph": "M", "pid": 1, "name": "process_name", "args": { "name": title },
        });
        serde_json::to_writer(&mut out, &name)?;
        let mut events = Self { out };
        for vcpu in 0..vcpus {
            let tid = track_of(vcpu);
            events.put(&json!({
                "ph": "M", "pid": 1, "tid": tid, "name": "thread_name",
                "args": { "name": format!("vCPU {vcpu}") },
            }))?;
            events.put(&json!({
                "ph": "M", "pid": 1, "tid": tid, "name": "thread_sort_index",
                "args": { "sort_index": vcpu },
            }))?;
        }
        Ok(events)
    }

    /// One more event: an object with the format's keys.
    pub fn put(&mut self, event: &impl Serialize) -> io::Result<()> {
        put(&mut self.out, event)
    }

    /// More of them, as [`put`] makes them.
    pub(super) fn put_text(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    /// Ends the trace.
    pub fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}

/// An event behind another one.
pub(super) fn put(mut out: impl Write, event: &impl Serialize) -> io::Result<()> {
    out.write_all(b",\n")?;
    Ok(serde_json::to_writer(out, event)?)
}
