//! Builds what both kinds of machines consist of: memory with the guest in it, a VM, its vCPUs with
//! their CPUID leaves, and the devices.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::board::Board;
use crate::boot::{self, Start};
use crate::config::MachineConfig;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::identity::{self, CpuidEntry, Frequencies};
use crate::kvm::{Host, Irqchip, KvmCpu, Vm};
use crate::memory::Memory;
use crate::trapped;
use crate::virtio::{self, Served};

/// The KVM capability whose value is the period of the APIC bus in nanoseconds, and the bus
/// frequency that KVM uses where the capability is missing.
const KVM_CAP_X86_APIC_BUS_CYCLES_NS: u32 = 237;
const DEFAULT_BUS_KHZ: u32 = 1_000_000;

/// The clocks of a PC that a machine has.
pub(crate) enum Clocks {
    /// An RTC with the host's time, which does not interrupt.
    TimeOfDay,
    /// A PIT and an RTC that run by virtual time.
    Timers,
}

/// What a scheduler needs of the machine that it runs.
pub(crate) struct Needs<'a> {
    /// Who models the interrupt controllers.
    pub(crate) irqchip: Irqchip,
    /// The frequencies that the guest reads; `None` for those of the host.
    pub(crate) frequencies: Option<Frequencies>,
    /// What the guest may see of a CPUID leaf that the host supports.
    pub(crate) restrict: &'a dyn Fn(CpuidEntry) -> CpuidEntry,
    /// Whether KVM records the pages that the guest writes.
    pub(crate) log_stores: bool,
    /// Which clocks of a PC the machine has.
    pub(crate) clocks: Clocks,
}

/// The parts of a machine. Its vCPUs are in the reset state.
pub(crate) struct Assembly {
    pub(crate) cpus: Vec<KvmCpu>,
    /// The CPUID leaves of each vCPU.
    pub(crate) leaves: Vec<Vec<CpuidEntry>>,
    pub(crate) board: Board,
    pub(crate) served: Served,
    pub(crate) memory: Arc<Memory>,
    /// How the first vCPU starts.
    pub(crate) start: Start,
    // Declared last, so dropped last: the vCPUs and devices use the VM.
    pub(crate) vm: Vm,
}

impl Assembly {
    /// Builds the parts. `prepare` changes memory after the guest was loaded, and before the ranges
    /// that hooks watch are trapped.
    pub(crate) fn new(
        host: &Host,
        config: &MachineConfig,
        watches: &[Range<u64>],
        console: Box<dyn Write + Send>,
        needs: &Needs,
        prepare: impl FnOnce(&mut Memory) -> Result<()>,
    ) -> Result<Self> {
        let disks = virtio::open_disks(config)?;
        let mut memory = Memory::new(config.memory)?;
        let start = boot::load(config, &memory)?;
        prepare(&mut memory)?;
        trapped::watch(watches, config, &mut memory)?;
        let memory = Arc::new(memory);

        let mut vm = Vm::new(host, memory.clone(), needs.irqchip)?;
        if needs.log_stores {
            vm.log_stores()?;
        }
        let count = config.cpus.get();
        let mut cpus = (0..count).map(|id| vm.create_cpu(id)).collect::<Result<Vec<_>>>()?;
        let frequencies = match needs.frequencies {
            Some(frequencies) => frequencies,
            None => Frequencies { tsc_khz: cpus[0].tsc_khz()?, bus_khz: bus_khz(host) },
        };
        let supported: Vec<_> = host.supported_cpuid()?.into_iter().map(needs.restrict).collect();
        let leaves: Vec<_> = (0..count)
            .map(|id| identity::cpuid(&supported, config.identity, frequencies, id, count))
            .collect();
        for (cpu, leaves) in cpus.iter_mut().zip(&leaves) {
            cpu.set_cpuid(leaves)?;
        }
        let mut board = Board::new(config, frequencies, console);
        board = match needs.clocks {
            Clocks::TimeOfDay => board.with_time_of_day(),
            Clocks::Timers => board.with_timers(),
        };
        let served = virtio::add(&mut board, config, disks, &memory)?;
        Ok(Self { cpus, leaves, board, served, memory, start, vm })
    }
}

fn bus_khz(host: &Host) -> u32 {
    match host.capability(KVM_CAP_X86_APIC_BUS_CYCLES_NS) {
        nanoseconds if nanoseconds > 0 => DEFAULT_BUS_KHZ / nanoseconds as u32,
        _ => DEFAULT_BUS_KHZ,
    }
}
