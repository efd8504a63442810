//! A script in a machine: one engine for each vCPU, its timers, and the counts of its firings.

mod counts;
mod hook;
mod timer;

use std::sync::{Arc, Mutex, PoisonError};

use vmm::hook::{Attach, Hook};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::engine::{DEFAULT_STEPS, Engine, Reported};
use crate::ir::Program;
use crate::output::Sink;
use crate::point::Point;
use crate::source::{Location, Source};
use crate::vp::{self, Dialect};

use counts::Counters;
pub use counts::ProbeCount;
use hook::ProbeHook;

/// How scripts are read and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--strict-vp`: VP as the manual has it, without repairs.
    pub strict: bool,
    /// How many steps a firing may take.
    pub steps: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { strict: false, steps: DEFAULT_STEPS }
    }
}

/// A script that is checked and can run, in as many machines as one likes.
#[derive(Clone, Debug)]
pub struct Script {
    program: Arc<Program>,
    warnings: Diagnostics,
    steps: u64,
}

impl Script {
    /// Reads and checks sources that share their names. Either all of it is loaded or nothing.
    pub fn load(sources: &[Source], options: &Options) -> Result<Self, Diagnostics> {
        let dialect = if options.strict { Dialect::Strict } else { Dialect::Lenient };
        let sources: Arc<[Source]> = sources.into();
        let (program, mut list) = vp::load(&sources, dialect);
        let Some(program) = program else {
            if list.is_empty() {
                list.push(Diagnostic::general("the script can't be loaded"));
            }
            return Err(Diagnostics::new(sources, list));
        };
        let warnings = Diagnostics::new(sources, list);
        Ok(Self { program: Arc::new(program), warnings, steps: options.steps })
    }

    /// What may surprise about the script.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// The probes in the order of the script, with their places.
    pub fn probes(&self) -> impl Iterator<Item = (Point, Location)> {
        let program = &self.program;
        program.probes.iter().map(|probe| (probe.point, probe.span.location(&program.sources)))
    }
}

/// A script that is attached to one machine.
#[derive(Debug)]
pub struct Session {
    program: Arc<Program>,
    sink: Sink,
    steps: u64,
    reported: Arc<Reported>,
    /// One for each vCPU that was attached.
    counters: Mutex<Vec<Arc<Counters>>>,
}

impl Session {
    /// Makes a script ready to be attached. What it prints goes to `sink`.
    pub fn new(script: &Script, sink: Sink) -> Self {
        Self {
            program: Arc::clone(&script.program),
            sink,
            steps: script.steps,
            reported: Arc::new(Reported::new(&script.program)),
            counters: Mutex::default(),
        }
    }

    /// How often each probe has fired so far, in the order of the script.
    pub fn counts(&self) -> Vec<ProbeCount> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counts::sum(&self.program, &counters)
    }

    /// Whether any probe has fired. A script that never did has told nothing about the guest.
    pub fn has_fired(&self) -> bool {
        self.counts().iter().any(|count| count.firings > 0)
    }
}

impl Attach for Session {
    fn attach(&self, vcpu: u32, _vcpus: u32) -> Box<dyn Hook> {
        let counters = Arc::new(Counters::new(self.program.probes.len()));
        let mut all = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&counters));
        let engine = Engine::new(
            Arc::clone(&self.program),
            vcpu,
            self.sink.clone(),
            self.steps,
            Arc::clone(&self.reported),
        );
        Box::new(ProbeHook::new(&self.program, engine, counters))
    }
}

#[cfg(test)]
mod tests;
