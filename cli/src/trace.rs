//! `--trace`: writes what vCPUs did to a file that Perfetto opens.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use probes::Trace;
use probes::trace::MAX_TRACE_BYTES;

use crate::file::{Output, OutputFile};
use crate::tell;
use crate::writer::Stream;

/// The trace of a command: of its first run that fails, or else of its last run.
pub(crate) struct Tracing {
    file: OutputFile,
    kept: Mutex<Kept>,
    /// The destination of a trace that has begun.
    begun: Mutex<Option<(Stream, Output)>>,
}

/// What the file contains.
enum Kept {
    /// A run that is replaced by the next one, because none has failed yet.
    Run,
    Failure,
    /// The trace could not be written completely.
    Broken(anyhow::Error),
}

impl Tracing {
    /// Fails before anything runs if the file can't be written.
    pub(crate) fn check(path: Option<&Path>) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let file = OutputFile::check("--trace", path)?;
        Ok(Some(Self { file, kept: Mutex::new(Kept::Run), begun: Mutex::default() }))
    }

    /// Begins the trace of a machine, in place of the previous trace; `None` if that one is kept.
    pub(crate) fn start(&self, title: &str, vcpus: u32) -> Option<Trace> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*kept, Kept::Run) {
            return None;
        }
        let started = self.file.begin().and_then(|output| {
            let stream = Stream::to(output.file()?);
            let trace = Trace::new(stream, title, vcpus)?;
            Ok((stream, output, trace.waiting_for(move || stream.wait_for_room())))
        });
        match started.with_context(|| self.file.unwritable()) {
            Ok((stream, output, trace)) => {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                *begun = Some((stream, output));
                Some(trace)
            }
            Err(error) => {
                *kept = Kept::Broken(error);
                None
            }
        }
    }

    /// Called when the machine has stopped.
    pub(crate) fn end(&self, trace: &Trace, failed: bool) {
        let outcome = self.written(trace);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) if failed => *kept = Kept::Failure,
            Ok(()) => {}
            Err(error) => *kept = Kept::Broken(error),
        }
    }

    fn written(&self, trace: &Trace) -> Result<()> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        let summary = trace.finish();
        let kept = begun.map_or(Ok(()), |(stream, output)| {
            stream.close()?;
            output.keep()
        });
        let summary = summary
            .and_then(|summary| kept.map(|()| summary))
            .with_context(|| self.file.unwritable())?;
        if summary.events == 0 {
            bail!("{}: nothing has happened in the run", self.file.name());
        }
        if let Some(time) = summary.full {
            tell::user(&format!(
                "jitterbug: {}: full after {:.3} s: it has {} MiB and {} events, and not what came \
                 later",
                self.file.name(),
                time.as_secs_f64(),
                MAX_TRACE_BYTES >> 20,
                summary.events
            ));
        }
        Ok(())
    }

    /// Fails if there was an error with the trace.
    pub(crate) fn finish(&self) -> Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *kept, Kept::Run) {
            Kept::Run | Kept::Failure => Ok(()),
            Kept::Broken(error) => Err(error),
        }
    }
}
