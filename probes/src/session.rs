//! A script that is attached to a machine: one engine for each vCPU, the script's timers, and the
//! counts of its firings.

mod code;
mod common;
mod counts;
mod data;
mod events;
mod hook;
mod load;
mod stops;
mod timer;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use inspect::{Inspector, Symbols};
use vmm::MachineConfig;
use vmm::boot::segments::Segments;
use vmm::controlled::START_OF_DAY;
use vmm::hook::{Attach, Hook, Watch};
use vmm::watchpoints::WatchPlan;

use crate::aggregate::{Limits, lock};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::engine::{Budget, Changes, Clock, Engine, Settings, Shared};
use crate::folded::Folded;
use crate::output::{LineBuffer, LineKind, OutputLine, Ring, Sink};
use crate::point::{Access, Class, Mechanisms, NoPoint, Point};
use crate::source::Location;
use crate::trace::Trace;
use crate::vp::checker::no_point;

use common::Common;
use counts::Counters;
pub use counts::ProbeCount;
pub use hook::VcpuProbes;
pub use load::Dumped;
use watch::DataPoint;

/// How scripts are loaded and run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--strict-vp`: VP as its manual describes it, without repairs.
    pub strict: bool,
    /// The most that one firing may use.
    pub budget: Budget,
    /// The most that the aggregates may hold.
    pub limits: Limits,
    /// The source of the time of day.
    pub clock: Clock,
    /// The guest's symbols, for probe points at names and for scripts that print addresses by name.
    pub symbols: Option<Arc<Symbols>>,
    /// What unwinds and names the stacks of the script's machine; by default it knows `symbols`,
    /// and a Linux kernel that it finds.
    pub inspector: Option<Arc<Inspector>>,
    /// Where the guest's image is in memory, for probe points at data.
    pub segments: Segments,
    /// The mechanisms that the scheduler provides.
    pub mechanisms: Mechanisms,
    /// `--destructive`: scripts may change what the guest does.
    pub destructive: bool,
    /// The seed from which the lengths of delays are drawn.
    pub seed: u64,
    /// `--set NAME=VALUE`: values for names that the scripts define.
    pub parameters: Vec<(String, String)>,
    /// `--timestamps`: puts the time and the vCPU in front of each line.
    pub timestamps: bool,
    /// `--ring`: keeps this number of lines of each vCPU, the latest, instead of printing them.
    pub ring: Option<usize>,
    /// `--folded`: aggregates whose key is a stack are not printed at the end. [`Session::fold`]
    /// yields them.
    pub folded: bool,
}

impl Options {
    /// Options for the controlled scheduler, where a run must be the same each time: virtual time,
    /// and no bound that depends on the host's time.
    pub fn controlled() -> Self {
        Self {
            budget: Budget { time: None, ..Budget::default() },
            clock: Clock::Machine { start: START_OF_DAY },
            mechanisms: Mechanisms::CONTROLLED,
            ..Self::default()
        }
    }
}

/// A checked script, which can run in any number of machines.
#[derive(Clone, Debug)]
pub struct Script {
    code: Arc<Code>,
    warnings: Diagnostics,
    options: Options,
}

impl Script {
    /// The same script with another seed.
    #[must_use]
    pub fn seeded(&self, seed: u64) -> Self {
        let mut script = self.clone();
        script.options.seed = seed;
        script
    }

    /// The same script with what unwinds and names the stacks of its machine.
    #[must_use]
    pub fn inspecting(mut self, inspector: &Arc<Inspector>) -> Self {
        self.options.inspector = Some(Arc::clone(inspector));
        self
    }

    /// Whether the script names a function that changes what the guest does, or that writes files.
    pub fn is_destructive(&self) -> bool {
        self.code.has_destructive_actions()
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// The warnings about the script.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// The mechanisms of the scheduler and of the host that the script's probe points need.
    pub fn mechanisms(&self) -> Mechanisms {
        self.code.probes.iter().map(|probe| probe.point.mechanism()).collect()
    }

    /// The number of guest instructions at which vCPUs have to stop, at least. The addresses to
    /// which calls return, and the instructions of functions that are stepped, are known only
    /// later.
    pub fn stops(&self) -> usize {
        let address = |point: &Point| match point {
            Point::Address(address) if address.access.class() == Class::Address => {
                Some(address.start)
            }
            _ => None,
        };
        self.code.points().iter().filter_map(address).collect::<BTreeSet<_>>().len()
    }

    /// Refuses each probe whose mechanism is not in `mechanisms`: the mechanisms of a scheduler
    /// [on a host](Mechanisms::on), which is known later than the script.
    pub fn check(&self, mechanisms: Mechanisms) -> Result<(), Diagnostics> {
        let missing = self.code.probes.iter().filter_map(|probe| {
            let lack = probe.point.mechanism().difference(mechanisms);
            let name = probe.written.to_string();
            let error = NoPoint::Missing { name, reason: lack.lack() };
            (!lack.is_empty()).then(|| no_point(probe.span, &error))
        });
        let mut list: Vec<_> = missing.collect();
        // The probes of a pattern yield equal errors. Each is reported once.
        list.dedup();
        if list.is_empty() { Ok(()) } else { Err(self.diagnostics(list)) }
    }

    /// The most addresses at which vCPUs stop at the same time for the script, if no function
    /// recurses through different callers: a return is one more, and a function that is stepped
    /// has any number.
    pub fn most_stops(&self) -> usize {
        let stops = |point: &Point| match point.address().map(|address| address.access) {
            Some(Access::Enter | Access::Offset) => 1,
            Some(Access::Exit) => 2,
            Some(Access::Step) => usize::MAX,
            Some(Access::Read | Access::Write) | None => 0,
        };
        self.code.points().iter().map(stops).fold(0, usize::saturating_add)
    }

    /// What the script's probes at data need of the guest's memory.
    pub fn watches(&self) -> Vec<Watch> {
        let points = self.code.points();
        let points = points.iter().filter_map(|it| DataPoint::new(*it, &self.options.segments));
        points.map(|point| point.watch(&self.code)).collect()
    }

    /// Refuses each probe at data that a machine with this configuration can't watch as planned.
    /// What the guest itself uses trapped pages for (as page tables, for example) isn't known
    /// before it runs.
    pub fn check_watches(
        &self,
        config: &MachineConfig,
        plan: &WatchPlan,
    ) -> Result<(), Diagnostics> {
        let refused = self.code.probes.iter().filter_map(|probe| {
            let point = DataPoint::new(probe.point, &self.options.segments)?;
            let error = plan.check(&point.physical, config).err()?;
            let problem = format!("probe point {} can't be had: {error}", probe.name);
            let error = Diagnostic::error(probe.span, problem, "can't be watched");
            Some(match plan.why_pages() {
                Some(reason) => error.with_help(format!("its pages are trapped, because {reason}")),
                None => error,
            })
        });
        let list: Vec<_> = refused.collect();
        if list.is_empty() { Ok(()) } else { Err(self.diagnostics(list)) }
    }

    fn diagnostics(&self, list: Vec<Diagnostic>) -> Diagnostics {
        Diagnostics::new(Arc::clone(&self.code.sources), list)
    }

    /// Whether the script has an aggregate whose key is a stack.
    pub fn counts_stacks(&self) -> bool {
        self.code.aggregates.iter().any(|shape| shape.stack.is_some())
    }

    /// The probes in the order of the script, each with its place in the source.
    pub fn probes(&self) -> impl Iterator<Item = (Point, Location)> {
        let code = &self.code;
        code.probes.iter().map(|probe| (probe.point, probe.span.location(&code.sources)))
    }
}

/// A script that is attached to one machine.
pub struct Session {
    code: Arc<Code>,
    sink: Sink,
    ring: Option<usize>,
    timestamps: bool,
    folded: bool,
    shared: Arc<Shared>,
    common: Arc<Common>,
    trace: Option<Trace>,
    finished: AtomicBool,
    /// One for each vCPU that was attached.
    counters: Mutex<Vec<Arc<Counters>>>,
    rings: Mutex<Vec<Arc<Mutex<Ring>>>>,
}

impl Session {
    /// Prepares a script to be attached. What it prints goes to `sink`.
    pub fn new(script: &Script, sink: Sink) -> Self {
        let options = &script.options;
        let inspector = || Arc::new(Inspector::from(options.symbols.clone()));
        let settings = Settings {
            budget: options.budget,
            limits: options.limits,
            clock: options.clock,
            inspector: options.inspector.clone().unwrap_or_else(inspector),
            seed: options.seed,
        };
        let common = Common::new(&script.code.points(), &options.segments);
        Self {
            code: Arc::clone(&script.code),
            common: Arc::new(common),
            sink,
            ring: options.ring,
            timestamps: options.timestamps,
            folded: options.folded,
            shared: Arc::new(Shared::new(&script.code, settings)),
            trace: None,
            finished: AtomicBool::new(false),
            counters: Mutex::default(),
            rings: Mutex::default(),
        }
    }

    /// Records the session's firings in a trace, too.
    #[must_use]
    pub fn traced(mut self, trace: &Trace) -> Self {
        self.trace = Some(trace.clone());
        self
    }

    /// The points at which the script has probes. The caller that runs the machine arms what these
    /// points need, and calls [`VcpuProbes::fire`] when the guest reaches one.
    pub fn points(&self) -> Vec<Point> {
        self.code.points()
    }

    /// The probes of one more vCPU. A scheduler gets them by [`Attach`]; a caller that fires points
    /// of other kinds keeps the returned value.
    pub fn vcpu(&self, vcpu: u32) -> VcpuProbes {
        let counters = Arc::new(Counters::new(self.code.probes.len()));
        lock(&self.counters).push(Arc::clone(&counters));
        let engine = |buffer| Engine::new(Arc::clone(&self.code), Arc::clone(&self.shared), buffer);
        // The machine's own probes run on the boot processor's thread, with their own set of
        // variables.
        let has_machine = self.code.probes.iter().any(|probe| !probe.point.is_in_vcpu());
        let machine = (vcpu == 0 && has_machine).then(|| engine(self.buffer(vcpu)));
        let engine = engine(self.buffer(vcpu));
        let common = Arc::clone(&self.common);
        let firings = self.trace.as_ref().and_then(|trace| trace.firings(vcpu, &self.code));
        VcpuProbes::new(vcpu, &self.code, engine, machine, counters, common).traced(firings)
    }

    fn buffer(&self, vcpu: u32) -> LineBuffer {
        let Some(lines) = self.ring else {
            let buffer = LineBuffer::new(vcpu, self.sink.clone());
            return if self.timestamps { buffer.with_timestamps() } else { buffer };
        };
        let ring = Arc::new(Mutex::new(Ring::new(vcpu, lines)));
        lock(&self.rings).push(Arc::clone(&ring));
        LineBuffer::with_ring(vcpu, self.sink.clone(), ring)
    }

    /// How often each probe has fired so far, in the order of the script.
    pub fn counts(&self) -> Vec<ProbeCount> {
        counts::sum(&self.code, &lock(&self.counters))
    }

    /// What the script did to the guest so far.
    pub fn changes(&self) -> Changes {
        self.shared.changes()
    }

    /// Whether any probe has fired. Without a firing, the script's output says nothing about the
    /// guest.
    pub fn has_fired(&self) -> bool {
        self.counts().iter().any(|count| count.firings > 0)
    }

    /// Prints the lines that were kept in the rings, ordered by time, and empties the rings;
    /// returns the number of lines. Called at the end of a machine that failed.
    pub fn print_ring(&self) -> usize {
        let lines = Ring::merge(lock(&self.rings).iter().map(|ring| lock(ring).take()));
        let count = lines.len();
        // If the output is closed, the lines are lost.
        let _ = self.sink.send_block(lines);
        count
    }

    /// Unloads the script: prints each aggregate that has values not yet printed, and how many
    /// values and pairs were dropped. The vCPUs must have stopped. Dropping the session does the
    /// same.
    pub fn finish(&self) {
        if self.finished.swap(true, Ordering::Relaxed) {
            return;
        }
        for aggregate in self.shared.aggregates() {
            let is_folded = self.folded && aggregate.shape().stack.is_some();
            if aggregate.has_news() && !is_folded {
                let line = |bytes| OutputLine { vcpu: 0, kind: LineKind::Script, bytes };
                let lines = aggregate.lines().into_iter().map(line).collect();
                let _ = self.sink.send_block(lines);
            }
            if let Some(text) = lost(aggregate.dropped(), "value", &aggregate.shape().name, "keys")
            {
                self.notice(text);
            }
        }
        for (bag, refused) in self.code.bags.iter().zip(self.shared.refused()) {
            if let Some(text) = lost(refused, "pair", &bag.name, "pairs") {
                self.notice(text);
            }
        }
    }

    /// Adds the aggregates whose key is a stack to `into`. The vCPUs must have stopped. If there
    /// are several such aggregates, the name of each becomes the outermost frame of its stacks.
    pub fn fold(&self, into: &mut Folded) {
        let of_stacks = || self.shared.aggregates().iter().filter(|a| a.shape().stack.is_some());
        let several = of_stacks().count() > 1;
        for aggregate in of_stacks() {
            let name = several.then_some(aggregate.shape().name.as_str());
            into.add(aggregate, name, Some(self.shared.inspector()));
        }
    }

    fn notice(&self, text: String) {
        let line = OutputLine { vcpu: 0, kind: LineKind::Notice, bytes: text.into_bytes() };
        let _ = self.sink.send(line);
    }
}

/// The notice about `count` values or pairs that a full table did not take; `None` if there are
/// none.
fn lost(count: u64, what: &str, name: &str, of: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("{name}: 1 {what} was dropped, because it was full of {of}")),
        _ => Some(format!("{name}: {count} {what}s were dropped, because it was full of {of}")),
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("points", &self.points()).finish_non_exhaustive()
    }
}

impl Attach for Session {
    fn attach(&self, vcpu: u32, _vcpus: u32) -> Box<dyn Hook> {
        Box::new(self.vcpu(vcpu))
    }

    fn watches(&self) -> Vec<Watch> {
        self.common.data.iter().map(|point| point.watch(&self.code)).collect()
    }

    fn msrs(&self) -> Vec<u32> {
        self.common.msrs.clone()
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod destructive_tests;
