//! A machine whose vCPUs all belong to one host thread.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::can_control::can_control;
use super::emulate::Tsc;
use super::faults::Faults;
use super::granularity::Granularity;
use super::hang::Rounds;
use super::hang_budget::ProgressCounter;
use super::hash::RunHash;
use super::platform::Platform;
use super::rdtsc::{self, ClockPorts};
use super::runaway::RunawayTimer;
use super::snapshot::Tracking;
use super::vcpu_context::{State, VcpuContext};
use super::walk::Pace;
use super::writers::Writers;
use crate::assembly::{Assembly, Clocks, Needs};
use crate::at_places::AtPlaces;
use crate::boot::elf;
use crate::boot::elf::Image;
use crate::breakpoints::{Code, Gate, Int3s};
use crate::cancel::Cancel;
use crate::config::MachineConfig;
use crate::criteria::Met;
use crate::doctor;
use crate::error::{Error, Result};
use crate::hook::{HookActions, HookSet, Watch};
use crate::identity::{CpuidEntry, Frequencies};
use crate::instruction::Instructions;
use crate::kvm::{Host, Irqchip, StepCapabilities, Vm};
use crate::memory::Memory;

/// A machine for the controlled scheduler: accesses to its shared memory are trapped, its interrupt
/// controllers and its clock are emulated here, and everything that happens follows from choices.
pub struct ControlledMachine {
    pub(super) vcpus: Vec<VcpuContext>,
    pub(super) granularity: Granularity,
    /// Where this host's single steps stop.
    pub(super) stepping: StepCapabilities,
    pub(super) tsc: Tsc,
    /// The ports whose writes replace the guest's reads of the TSC (watch granularity).
    pub(super) clock_ports: ClockPorts,
    /// Whether the guest reads the host's TSC despite `clock_ports`.
    pub(super) host_clock: bool,
    pub(super) platform: Platform,
    pub(super) memory: Arc<Memory>,
    pub(super) instructions: Instructions,
    pub(super) hash: RunHash,
    pub(super) writers: Writers,
    pub(super) points: u64,
    pub(super) last: Option<u32>,
    /// Whether the guest has marked the place for a snapshot.
    pub(super) marked: bool,
    /// One set for each vCPU, or an empty vector.
    pub(super) hooks: Vec<HookSet>,
    /// The actions requested by the hooks that were called last.
    pub(super) actions: HookActions,
    /// The error of an action that could not be performed.
    pub(super) broken: Option<Error>,
    /// The criterion that was met last.
    pub(super) met: Option<Met>,
    pub(super) dumps: Vec<PathBuf>,
    /// Whether hooks have asked for MSRs to exit.
    pub(super) msrs_chosen: bool,
    pub(super) runaway: Option<RunawayTimer>,
    pub(super) cancel: Cancel,
    pub(super) progress: ProgressCounter,
    pub(super) hang_budget: u64,
    /// Whether loops run at full speed before they count as a hang by budget.
    pub(super) runs_out: bool,
    /// Set while a hang is being proven.
    pub(super) rounds: Option<Rounds>,
    /// Set while a step is made instruction by instruction.
    pub(super) pace: Option<Pace>,
    /// Whether a quiet machine counts as a success.
    pub(super) quiet_passes: bool,
    /// The places in the guest's code where the machine's criteria end the run.
    pub(super) places: Option<AtPlaces>,
    pub(super) faults: Faults,
    pub(super) tracking: Tracking,
    pub(super) int3s: Arc<Int3s>,
    /// Whether the pages of the guest's code are read-only, and its stores there are performed by
    /// the vCPUs' breakpoints.
    pub(super) protects_code: bool,
    pub(super) host: Host,
    // Declared last, so dropped last: the vCPUs use the VM.
    pub(super) vm: Vm,
}

impl ControlledMachine {
    /// Builds a machine whose first vCPU is at the guest's entry point. The guest's console output
    /// goes to `console`.
    pub fn new(
        host: &Host,
        config: &MachineConfig,
        console: Box<dyn Write + Send>,
    ) -> Result<Self> {
        Self::watching(host, config, &[], console)
    }

    /// Like [`ControlledMachine::new`], with what the hooks of the run watch trapped as well
    /// ([`hook::watches`](crate::hook::watches)). Accesses to these pages are scheduling points.
    /// Fails if a range can't be trapped.
    pub fn watching(
        host: &Host,
        config: &MachineConfig,
        watches: &[Watch],
        console: Box<dyn Write + Send>,
    ) -> Result<Self> {
        can_control(config)?;
        let granularity = config.granularity;
        let mut stepping = StepCapabilities::default();
        let mut clock_ports = ClockPorts::default();
        let prepare = |memory: &mut Memory| {
            match granularity {
                Granularity::Watch => {
                    trap_shared(config, memory)?;
                    clock_ports = rdtsc::replace(Image::of(config), memory)?;
                }
                Granularity::Instruction => stepping = doctor::stepping(host)?,
            }
            Ok(())
        };
        let needs = Needs {
            irqchip: Irqchip::None,
            frequencies: Some(Frequencies { tsc_khz: Tsc::KHZ, bus_khz: 1_000_000 }),
            restrict: &Granularity::restrict,
            log_stores: true,
            clocks: Clocks::Timers,
        };
        let watches: Vec<_> = watches.iter().map(|watch| watch.physical.clone()).collect();
        let assembly = Assembly::new(host, config, &watches, console, &needs, prepare)?;
        let Assembly { cpus, leaves, board, memory, start, vm, .. } = assembly;
        let count = config.cpus.get();
        let has_rdtscp = leaves[0].iter().any(offers_rdtscp);
        let blocks_interrupts = stepping.block_interrupts;
        let vcpu = |(cpu, leaves)| VcpuContext::new(cpu, leaves, blocks_interrupts);
        let mut vcpus = cpus.into_iter().zip(leaves).map(vcpu).collect::<Result<Vec<_>>>()?;
        start.enter(&mut vcpus[0].cpu)?;
        vcpus[0].state = State::Ready;
        let mut machine = Self {
            vcpus,
            granularity,
            stepping,
            tsc: Tsc { khz: Tsc::KHZ, has_rdtscp },
            clock_ports,
            host_clock: false,
            platform: Platform::new(count, board),
            memory,
            instructions: Instructions::default(),
            hash: RunHash::default(),
            writers: Writers::default(),
            points: 0,
            last: None,
            marked: false,
            hooks: Vec::new(),
            actions: HookActions::default(),
            broken: None,
            met: None,
            dumps: Vec::new(),
            msrs_chosen: false,
            runaway: None,
            cancel: Cancel::never(),
            progress: ProgressCounter::new(count),
            hang_budget: granularity.hang_budget(),
            runs_out: true,
            rounds: None,
            pace: None,
            quiet_passes: config.criteria.quiet_passes(),
            places: AtPlaces::of(&config.criteria),
            faults: Faults::of(config)?,
            tracking: Tracking::new(host, &vm, Image::of(config))?,
            int3s: Arc::new(Int3s { code: Code::of(config), gate: Gate::default() }),
            protects_code: false,
            host: host.clone(),
            vm,
        };
        if machine.places.is_some() {
            machine.attach(&[])?;
        }
        Ok(machine)
    }

    /// Sets the condition that cancels runs of this machine: they then end with
    /// [`Error::Cancelled`], and the machine has to be restored before its next run. By default
    /// there is no such condition.
    pub fn set_cancel(&mut self, cancel: Cancel) {
        self.cancel = cancel;
    }

    /// The guest's memory.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The hash of everything that the vCPUs have done to shared state.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// The virtual time since the start.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.platform.now())
    }

    /// The vCPU that ran last.
    pub fn last(&self) -> Option<u32> {
        self.last
    }

    /// The number of scheduling points that have passed.
    pub fn points(&self) -> u64 {
        self.points
    }
}

/// Traps the memory that the image's vCPUs share: it is left out of the memory slots.
fn trap_shared(config: &MachineConfig, memory: &mut Memory) -> Result<()> {
    for range in elf::shared(Image::of(config)) {
        memory.watch_shared(range);
    }
    if !memory.trapped().is_empty() {
        return Ok(());
    }
    Err(Error::Image {
        name: config.guest.name.clone(),
        problem: "nothing to watch: it has neither .shared nor .data or .bss; give \
                  --granularity instruction, which needs none"
            .into(),
    })
}

fn offers_rdtscp(entry: &CpuidEntry) -> bool {
    const RDTSCP: u32 = 1 << 27;
    entry.leaf == 0x8000_0001 && entry.edx & RDTSCP != 0
}
