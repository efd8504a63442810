//! A machine: memory, vCPUs and devices, built from one [`MachineConfig`] and ready to run.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::at_places::AtPlaces;
use crate::board::Board;
use crate::boot::{self, pvh};
use crate::config::MachineConfig;
use crate::cpu::Cpu;
use crate::criteria::Criteria;
use crate::error::Result;
use crate::identity::{self, Frequencies};
use crate::kvm::{Host, Irqchip, KvmCpu, Vm};
use crate::memory::Memory;
use crate::trapped;

/// The KVM capability whose value is the period of the APIC bus in nanoseconds, and the bus
/// frequency that KVM uses where the capability is missing.
const KVM_CAP_X86_APIC_BUS_CYCLES_NS: u32 = 237;
const DEFAULT_BUS_KHZ: u32 = 1_000_000;

/// A machine that has not run yet.
pub struct Machine {
    pub(crate) cpus: Vec<KvmCpu>,
    pub(crate) board: Board,
    pub(crate) memory: Arc<Memory>,
    pub(crate) criteria: Criteria,
    pub(crate) places: Option<AtPlaces>,
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
        Self::watching(host, config, &[], console)
    }

    /// Like [`Machine::new`], with these guest-physical ranges trapped: the ranges that the hooks
    /// of the run watch ([`hook::watches`](crate::hook::watches)). Fails if a range can't be
    /// trapped.
    pub fn watching(
        host: &Host,
        config: &MachineConfig,
        watches: &[Range<u64>],
        console: Box<dyn Write + Send>,
    ) -> Result<Self> {
        let mut memory = Memory::new(config.memory)?;
        let entry = boot::load(config, &memory)?;
        trapped::watch(watches, config, &mut memory)?;
        let memory = Arc::new(memory);

        let vm = Vm::new(host, memory.clone(), Irqchip::InKernel)?;
        let mut cpus =
            (0..config.cpus.get()).map(|id| vm.create_cpu(id)).collect::<Result<Vec<_>>>()?;
        let frequencies = Frequencies { tsc_khz: cpus[0].tsc_khz()?, bus_khz: bus_khz(host) };
        let supported = host.supported_cpuid()?;
        for (id, cpu) in cpus.iter_mut().enumerate() {
            cpu.set_cpuid(&identity::cpuid(
                &supported,
                config.identity,
                frequencies,
                id as u32,
                config.cpus.get(),
            ))?;
        }
        for cpu in &mut cpus {
            cpu.wire_local_interrupts()?;
        }
        // The other vCPUs keep their reset state and wait for INIT and SIPI.
        let first = &mut cpus[0];
        let reset = first.system_registers()?;
        first.set_system_registers(&pvh::system_registers(&reset))?;
        first.set_registers(&pvh::registers(entry))?;

        let board = Board::new(&vm, config.identity, frequencies, &config.criteria, console);
        let places = AtPlaces::of(&config.criteria);
        Ok(Self {
            cpus,
            board,
            memory,
            places,
            criteria: config.criteria.clone(),
            host: host.clone(),
            vm,
        })
    }

    /// The guest's memory.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

fn bus_khz(host: &Host) -> u32 {
    match host.capability(KVM_CAP_X86_APIC_BUS_CYCLES_NS) {
        nanoseconds if nanoseconds > 0 => DEFAULT_BUS_KHZ / nanoseconds as u32,
        _ => DEFAULT_BUS_KHZ,
    }
}
