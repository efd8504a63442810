//! Looks for the sought variables in a run, from a thread of its own.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use inspect::Inspector;
use inspect::linux::{self, Kernel, NoVariable};
use vmm::hook::Watch;
use vmm::parallel::{Remote, Stopped};
use vmm::registers::{Activity, SystemRegisters};

use super::seeker::{Absent, Machine, Place, Sought};
use super::{Collider, Shared};

/// The time between two looks while something is sought, or may go.
const INTERVAL: Duration = Duration::from_millis(50);
/// The longest time between two looks, and that when all is found and in the kernel itself.
const LONG_INTERVAL: Duration = Duration::from_millis(500);
/// The machine stands still during a look. The time between two is this many times as long, up to
/// [`LONG_INTERVAL`].
const SHARE: u32 = 10;

/// What the variables of the kernel itself are known to be.
#[derive(Debug, Default)]
pub(super) struct KernelVariables {
    kernel: Option<Arc<Kernel>>,
    known: HashMap<String, Result<Option<Range<u64>>, String>>,
}

impl KernelVariables {
    /// The variable of this kernel with this name, if there is one, or why it can't be meant.
    fn find(&mut self, kernel: &Arc<Kernel>, name: &str) -> Result<Option<Range<u64>>, String> {
        if !self.kernel.as_ref().is_some_and(|known| Arc::ptr_eq(known, kernel)) {
            self.kernel = Some(kernel.clone());
            self.known.clear();
        }
        let known = self.known.entry(name.to_owned());
        known.or_insert_with(|| kernel.variable(name)).clone()
    }
}

impl Collider {
    /// Looks for the sought variables until `is_over`, in the run that `remote` controls. Each
    /// finding is told to `notice`. The calling thread is not one of the run.
    pub fn seek(&self, remote: &Remote, is_over: &AtomicBool, notice: impl Fn(&str)) {
        while !is_over.load(Ordering::SeqCst) {
            let begin = Instant::now();
            let shared = self.0.clone();
            let Ok((news, is_restless)) = remote.when_stopped(move |machine| shared.look(machine))
            else {
                remote.wait_for_machine(INTERVAL);
                thread::sleep(INTERVAL);
                continue;
            };
            for text in news {
                notice(&text);
            }
            let interval = if is_restless { INTERVAL } else { LONG_INTERVAL };
            let pause = (begin.elapsed() * SHARE).clamp(interval, LONG_INTERVAL);
            let next = Instant::now() + pause;
            while !is_over.load(Ordering::SeqCst) && Instant::now() < next {
                thread::sleep(INTERVAL.min(next.saturating_duration_since(Instant::now())));
            }
        }
    }
}

impl Shared {
    /// Looks once. Returns what has changed, and whether the next look is to come soon.
    fn look(&self, machine: &Stopped) -> (Vec<String>, bool) {
        let mut sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        let (seeker, known) = &mut *sought;
        let inspector = &*self.search.inspector;
        let news = seeker.look(&mut Live::new(machine, inspector, known), &self.variables);
        (news, seeker.is_restless())
    }
}

/// A real machine whose vCPUs are stopped.
struct Live<'a> {
    machine: &'a Stopped<'a>,
    /// A vCPU's registers with which the kernel is mapped, and the kernel.
    kernel: Option<(SystemRegisters, Arc<Kernel>)>,
    known: &'a mut KernelVariables,
}

impl<'a> Live<'a> {
    fn new(
        machine: &'a Stopped<'a>,
        inspector: &Inspector,
        known: &'a mut KernelVariables,
    ) -> Self {
        let started = machine.vcpus.iter().filter(|it| it.activity != Activity::WaitForSipi);
        let kernel = started
            .map(|vcpu| vcpu.system)
            .find_map(|system| Some((system, inspector.kernel(&system, machine.memory)?)));
        Self { machine, kernel, known }
    }
}

impl Machine for Live<'_> {
    fn find(&mut self, sought: &Sought) -> Result<Place, Absent> {
        let Some((system, kernel)) = &self.kernel else {
            let reason = "no Linux kernel with symbols was found in the guest's memory";
            return Err(Absent::Gone(reason.into()));
        };
        let in_kernel = match sought.module {
            None => self.known.find(kernel, &sought.name),
            Some(_) => Ok(None),
        };
        if let Ok(Some(linear)) = in_kernel {
            return Ok(Place { linear, module: None });
        }
        let (module, memory) = (sought.module.as_deref(), self.machine.memory);
        let found = kernel.variable_of_module(module, &sought.name, system, memory);
        let found = found.map(|(linear, module)| Place { linear, module: Some(module) });
        // Why the kernel's own can't be meant tells more than that no module has one.
        found.map_err(|absent| match (in_kernel, absent) {
            (Err(reason), _) | (_, NoVariable::Refused(reason)) => Absent::Refused(reason),
            (Ok(_), NoVariable::NotLoaded(reason)) => Absent::Gone(reason),
        })
    }

    fn physical(&self, linear: &Range<u64>) -> Result<Range<u64>, String> {
        let Some((system, _)) = &self.kernel else { return Err("there is no kernel".into()) };
        Ok(linux::physical(linear, system, self.machine.memory)?)
    }

    fn watch(&self, watch: Watch) -> Result<(), String> {
        self.machine.watch(watch).map_err(|error| error.to_string())
    }

    fn unwatch(&self, watch: &Watch) -> Result<(), String> {
        self.machine.unwatch(watch).map_err(|error| error.to_string())
    }
}
