//! Writes trace events as JSON.
//!
//! The format is the object form of Google's "Trace Event Format". Times are in microseconds, and
//! the events need not be in order.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

/// The thread number of a vCPU's track. Numbers begin at 1, because 0 doesn't name a thread.
pub fn track_of(vcpu: u32) -> u32 {
    vcpu + 1
}

/// The writer of a trace.
pub struct Events<W> {
    out: W,
}

impl<W: Write> Events<W> {
    /// Begins a trace named `title` of a machine with this number of vCPUs.
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

    /// Writes an event, which must be an object with the keys of the format.
    pub fn put(&mut self, event: &impl Serialize) -> io::Result<()> {
        put(&mut self.out, event)
    }

    /// Writes events that [`put`] has serialised.
    pub(super) fn put_text(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    /// Ends the trace.
    pub fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}

/// Serialises an event that follows another one.
pub(super) fn put(mut out: impl Write, event: &impl Serialize) -> io::Result<()> {
    out.write_all(b",\n")?;
    Ok(serde_json::to_writer(out, event)?)
}
