//! A machine: memory, vCPUs and devices, built from one [`MachineConfig`] and ready to run.

use std::io::Write;
use std::sync::Arc;

use crate::assembly::{Assembly, Clocks, Needs};
use crate::at_places::AtPlaces;
use crate::board::Board;
use crate::boot::kind::is_linux;
use crate::breakpoints::Code;
use crate::config::MachineConfig;
use crate::criteria::Criteria;
use crate::doctor::{self, Hidden};
use crate::error::Result;
use crate::identity::Identity;
use crate::injectable::{check_clocks, check_faults};
use crate::kvm::{Host, Irqchip, KvmCpu, Vm};
use crate::memory::Memory;
use crate::trapped;
use crate::virtio::Served;
use crate::watchpoints::WatchPlan;

/// A machine that has not run yet.
pub struct Machine {
    pub(crate) cpus: Vec<KvmCpu>,
    pub(crate) board: Board,
    pub(crate) served: Served,
    pub(crate) memory: Arc<Memory>,
    pub(crate) criteria: Criteria,
    pub(crate) places: Option<AtPlaces>,
    pub(crate) plan: WatchPlan,
    pub(crate) code: Code,
    pub(crate) host: Host,
    // Declared last, so dropped last: the vCPUs and devices use the VM.
    pub(crate) vm: Vm,
}

impl Machine {
    /// Builds a machine whose first vCPU is at the guest's entry point. The guest's console output
    /// goes to `console`.
    pub fn new(
        host: &Host,
        config: &MachineConfig,
        console: Box<dyn Write + Send>,
    ) -> Result<Self> {
        Self::watching(host, config, WatchPlan::default(), console)
    }

    /// Like [`Machine::new`], with a plan for what the hooks of the run watch
    /// ([`hook::watches`](crate::hook::watches)). Fails if something can't be watched.
    pub fn watching(
        host: &Host,
        config: &MachineConfig,
        plan: WatchPlan,
        console: Box<dyn Write + Send>,
    ) -> Result<Self> {
        check_faults(config)?;
        let hidden = if is_linux(&config.guest.bytes) {
            if config.identity == Identity::None {
                tracing::warn!(
                    "--identity none: Linux finds no clock here by which it could measure its TSC, \
                     and does not come up: give vmware or kvm"
                );
            }
            doctor::hidden_from_linux(host)?
        } else {
            Hidden::default()
        };
        let restrict = |leaf| hidden.restrict(leaf);
        let needs = Needs {
            irqchip: Irqchip::InKernel,
            frequencies: None,
            restrict: &restrict,
            log_stores: false,
            clocks: Clocks::TimeOfDay,
        };
        for watch in plan.watched() {
            trapped::is_memory(&watch.physical, config)?;
        }
        let assembly = Assembly::new(host, config, &plan.trapped(), console, &needs, |_| Ok(()))?;
        let Assembly { mut cpus, board, served, memory, start, vm, .. } = assembly;
        for cpu in &mut cpus {
            cpu.wire_local_interrupts()?;
        }
        // The other vCPUs keep their reset state and wait for INIT and SIPI.
        start.enter(&mut cpus[0])?;
        check_clocks(&config.faults, &mut cpus[0], host)?;
        let places = AtPlaces::of(&config.criteria);
        Ok(Self {
            cpus,
            board,
            served,
            memory,
            places,
            code: Code::of(config),
            criteria: config.criteria.clone(),
            plan,
            host: host.clone(),
            vm,
        })
    }

    /// The guest's memory.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}
