//! Makes the test benches of the self-tests: a machine in 64-bit mode with the code under test.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, rbx};

use super::bench::Bench;
use super::layout::{self, CODE, DONE, Ring, STACK};
use super::outcome::Tested;
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::identity::{self, CpuidEntry, Frequencies, Identity};
use crate::kvm::{Host, Irqchip, KvmCpu, Vm};
use crate::memory::{Memory, MemorySize};
use crate::registers::Registers;

/// The result of assembling.
pub(super) type Assembled = Result<(), IcedError>;

/// The data that all self-tests share.
#[derive(Debug)]
pub(super) struct TestGuest<'h> {
    pub(super) host: &'h Host,
    /// The CPUID leaves that the guests see: those of VMware, as by default.
    leaves: Vec<CpuidEntry>,
    image: Vec<(u64, Vec<u8>)>,
    /// The machine that most self-tests use one after the other, each with a vCPU of its own: on
    /// many hosts, destroying a machine takes tens of milliseconds.
    shared: RefCell<Option<Shared>>,
}

#[derive(Debug)]
struct Shared {
    vm: Rc<Vm>,
    next_cpu: u32,
}

impl<'h> TestGuest<'h> {
    pub(super) fn new(host: &'h Host) -> Result<Self> {
        let frequencies = Frequencies { tsc_khz: 1_000_000, bus_khz: 1_000_000 };
        let supported = host.supported_cpuid()?;
        let leaves = identity::cpuid(&supported, Identity::Vmware, frequencies, 0, 1);
        Ok(Self { host, leaves, image: layout::image(), shared: RefCell::default() })
    }

    /// The CPUID leaves that the guests see.
    pub(super) fn leaves(&self) -> &[CpuidEntry] {
        &self.leaves
    }

    /// The first CPUID leaf of this number that the guests see.
    pub(super) fn leaf(&self, leaf: u32) -> Option<&CpuidEntry> {
        self.leaves.iter().find(|entry| entry.leaf == leaf)
    }

    /// A machine without an in-kernel irqchip, ready to run this code in ring 0.
    pub(super) fn kernel(
        &self,
        code: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> Tested<Bench> {
        self.ring(Ring::Kernel, code)
    }

    /// Like [`Self::kernel`], for a loop that executes one instruction this many times, with the
    /// number of remaining rounds in RBX. Returns the instruction's address as well.
    pub(super) fn kernel_loop(
        &self,
        rounds: u64,
        instruction: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> Tested<(Bench, u64)> {
        let bench = self.kernel(|a| {
            let mut again = a.create_label();
            a.mov(rbx, rounds)?;
            a.set_label(&mut again)?;
            instruction(a)?;
            a.dec(rbx)?;
            a.jnz(again)?;
            done(a)
        })?;
        let before = assemble(64, CODE, |a| a.mov(rbx, rounds))?;
        Ok((bench, CODE + before.len() as u64))
    }

    /// Like [`Self::kernel`], in ring 3.
    pub(super) fn user(&self, code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Tested<Bench> {
        self.ring(Ring::User, code)
    }

    /// Like [`Self::kernel`], in either ring.
    pub(super) fn ring(
        &self,
        ring: Ring,
        code: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> Tested<Bench> {
        let (vm, id) = self.shared()?;
        self.prepare(vm.memory(), code)?;
        let cpu = self.cpu(&vm, id, ring)?;
        Ok(Bench::new(cpu, vm)?)
    }

    /// A separate machine, for self-tests that change it, ready to run this code in ring 0.
    pub(super) fn machine(
        &self,
        irqchip: Irqchip,
        code: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> Tested<Bench> {
        let vm = self.vm(irqchip)?;
        self.prepare(vm.memory(), code)?;
        let cpu = self.cpu(&vm, 0, Ring::Kernel)?;
        Ok(Bench::new(cpu, Rc::new(vm))?)
    }

    fn vm(&self, irqchip: Irqchip) -> Result<Vm> {
        let memory = Memory::new(MemorySize::new(MemorySize::MIN)?)?;
        Vm::new(self.host, Arc::new(memory), irqchip)
    }

    /// The shared machine, and a vCPU number that is free.
    fn shared(&self) -> Result<(Rc<Vm>, u32)> {
        let mut shared = self.shared.borrow_mut();
        let full = |shared: &Shared| shared.next_cpu as usize >= self.host.max_vcpus();
        let mut used = match shared.take() {
            Some(used) if !full(&used) => used,
            _ => Shared { vm: Rc::new(self.vm(Irqchip::None)?), next_cpu: 0 },
        };
        let free = (used.vm.clone(), used.next_cpu);
        used.next_cpu += 1;
        *shared = Some(used);
        Ok(free)
    }

    fn prepare(
        &self,
        memory: &Memory,
        code: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> Result<()> {
        memory.write(0, &vec![0; layout::SPARE as usize])?;
        for (address, bytes) in &self.image {
            memory.write(*address, bytes)?;
        }
        memory.write(CODE, &assemble(64, CODE, code)?)
    }

    /// A vCPU at the start of the code, in 64-bit mode.
    pub(super) fn cpu(&self, vm: &Vm, id: u32, ring: Ring) -> Result<KvmCpu> {
        const XSAVE: u32 = 1 << 26;
        let mut cpu = vm.create_cpu(id)?;
        cpu.set_cpuid(&self.leaves)?;
        let has_xsave = self.leaf(1).is_some_and(|leaf| leaf.ecx & XSAVE != 0);
        let reset = cpu.system_registers()?;
        cpu.set_system_registers(&layout::long_mode(&reset, ring, has_xsave))?;
        // Each vCPU has a quarter of the stack.
        let rsp = STACK - 0x1000 * u64::from(id & 3);
        let rflags = Registers::RESERVED_FLAG;
        cpu.set_registers(&Registers { rip: CODE, rsp, rflags, ..Default::default() })?;
        Ok(cpu)
    }
}

/// Assembles code of 16 or 64 bits.
pub(super) fn assemble(
    bits: u32,
    address: u64,
    code: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Result<Vec<u8>> {
    let assemble = || {
        let mut assembler = CodeAssembler::new(bits)?;
        code(&mut assembler)?;
        assembler.assemble(address)
    };
    assemble().map_err(|error| Error::System {
        what: "a self-test guest can't be assembled",
        source: std::io::Error::other(error),
    })
}

/// Reports that the guest has reached its end.
pub(super) fn done(a: &mut CodeAssembler) -> Assembled {
    a.out(u32::from(DONE), al)
}
