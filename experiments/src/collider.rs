//! Finds data races in a guest that runs in real time, by delaying accesses to chosen variables.
//!
//! A vCPU that has just accessed a watched variable is held for a random time. It stands directly
//! behind its access: until the time is over, it executes nothing, so it releases no lock and tells
//! no other vCPU of what it did. If another vCPU accesses the same bytes in this time, nothing in
//! the guest orders the two, and each could have come first. They race if at least one of them is
//! a write, and not both are locked instructions. A lock that protects both would have made the
//! second vCPU wait, so nothing needs to be known of the guest's locks. The one exception is a
//! variable that is itself the lock, or the flag, by which vCPUs agree: there the access itself is
//! what lets the other vCPU continue.
//!
//! This is the method of `DataCollider` (Erickson, Musuvathi, Burckhardt, Olynyk: Effective
//! Data-Race Detection for the Kernel, OSDI 2010), from outside the guest.

mod hook;
mod race;
mod report;
mod seeker;
mod seeking;
mod state;
mod variables;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inspect::Inspector;
use vmm::hook::{Attach, Hook, Watch};
use vmm::jitter;

use hook::VcpuCollider;
use race::Race;
pub use report::{Blind, Party, Report, Tally, count, merge};
use seeker::Seeker;
pub use seeker::Sought;
use seeking::KernelVariables;
use state::State;
pub use variables::Variable;
use variables::Variables;

/// What a run searches, and how.
#[derive(Clone, Debug)]
pub struct Search {
    /// The variables that the machine watches.
    pub variables: Arc<[Variable]>,
    /// The variables that are sought while the machine runs ([`Collider::seek`]).
    pub sought: Arc<[Sought]>,
    /// Each hold takes a time of this range.
    pub hold: jitter::Range,
    /// The seed of all random decisions.
    pub seed: u64,
    /// Whether accesses are reported with their values, as trapped pages do.
    pub has_values: bool,
    /// Unwinds and names stacks.
    pub inspector: Arc<Inspector>,
}

/// What the hooks of a run share.
#[derive(Debug)]
struct Shared {
    search: Search,
    variables: Variables,
    sought: Mutex<(Seeker, KernelVariables)>,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delays accesses in one run, and collects the races.
#[derive(Debug)]
pub struct Collider(Arc<Shared>);

impl Collider {
    /// A collider for one run of a machine with this number of vCPUs.
    pub fn new(search: Search, vcpus: u32) -> Self {
        let variables = Variables::of(&search.variables);
        let sought = Mutex::new((Seeker::new(&search.sought), KernelVariables::default()));
        let state = Mutex::new(State::new(vcpus));
        Self(Arc::new(Shared { search, variables, sought, state }))
    }

    /// What was found and what was looked at; complete when the run is over.
    pub fn results(&self) -> (Vec<Report>, Tally) {
        let (search, state) = (&self.0.search, self.0.state());
        let variables = self.0.variables.all();
        let named = |race: &Race| Report::new(race, &variables, &search.inspector);
        (state.races().iter().filter_map(named).collect(), state.tally().clone())
    }

    /// What was looked at of each variable that was watched, with its name. An access may touch
    /// several variables, and counts for each. Complete when the run is over.
    pub fn tallies(&self) -> Vec<(String, Tally)> {
        let state = self.0.state();
        let variables = self.0.variables.all().into_iter().enumerate();
        variables.map(|(number, it)| (it.name, state.tally_of(number))).collect()
    }

    /// Whether variables are sought, so that [`Self::seek`] has to be called during the run.
    pub fn seeks(&self) -> bool {
        !self.0.search.sought.is_empty()
    }

    /// The names of the sought variables that were never watched, and why.
    pub fn never_found(&self) -> Vec<(String, String)> {
        self.0.sought.lock().unwrap_or_else(PoisonError::into_inner).0.never_found()
    }

    /// The names of the sought variables that were watched and then refused, at least for a while,
    /// and why: it was not known which one is meant, or it could not be watched any more.
    pub fn refused(&self) -> Vec<(String, String)> {
        self.0.sought.lock().unwrap_or_else(PoisonError::into_inner).0.refused()
    }
}

impl Attach for Collider {
    fn attach(&self, vcpu: u32, _: u32) -> Box<dyn Hook> {
        Box::new(VcpuCollider::new(vcpu, self.0.clone()))
    }

    fn watches(&self) -> Vec<Watch> {
        self.0.search.variables.iter().map(Variable::watch).collect()
    }
}
