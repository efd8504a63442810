//! Small guests in 64-bit mode for the tests of this module: a test assembles code, runs it, and
//! checks how the run ends.
//!
//! | guest-physical = linear | contents |
//! |---|---|
//! | 0x8000 | the trampoline of the APs, from real mode |
//! | 0x100000 | the start of the first vCPU, from 32-bit mode |
//! | 0x101000-0x108000 | page tables (the first GiB, and the LAPIC's), GDT, IDT, TSS |
//! | 0x110000 | the code for all vCPUs; EDI is the vCPU's number |
//! | 0x118000 | handlers: each ends the run with code 0x100 + its vector |
//! | 0x120000 | private data; the stacks, a page each, end at 0x131000 and above |
//! | 0x180000-0x182000 | `.shared`, with plain memory on both sides |

use std::borrow::Cow;
use std::io::sink;
use std::path::Path;

use iced_x86::code_asm::*;
use iced_x86::{BlockEncoderOptions, IcedError};

use super::{ControlledMachine, Granularity};
use crate::config::{CpuCount, GuestImage, MachineConfig};
use crate::error::Result;
use crate::kvm::{Host, host};
use crate::memory::MemorySize;

pub(crate) const PML4: u64 = 0x10_1000;
pub(crate) const PDPT: u64 = 0x10_2000;
pub(crate) const LOW_PD: u64 = 0x10_3000;
const HIGH_PD: u64 = 0x10_4000;
pub(crate) const GDT: u64 = 0x10_5000;
pub(crate) const IDT: u64 = 0x10_6000;
const TSS: u64 = 0x10_7000;
/// The start of the code.
pub(crate) const CODE: u64 = 0x11_0000;
const HANDLERS: u64 = 0x11_8000;
/// Private data.
pub(crate) const DATA: u64 = 0x12_0000;
const STACKS: u64 = 0x13_1000;
/// The start of the trapped memory: two pages.
pub(crate) const SHARED: u64 = 0x18_0000;
/// The end of the trapped memory.
pub(crate) const SHARED_END: u64 = 0x18_2000;
const IMAGE: u64 = 0x10_0000;
const IMAGE_END: u64 = 0x19_0000;
const TRAMPOLINE: u64 = 0x8000;
/// The trampoline's place in the image, from which it is copied.
const TRAMPOLINE_SOURCE: u64 = 0x10_0800;
/// The entry point in 64-bit mode.
const LONG: u64 = 0x10_0c00;
pub(crate) const LAPIC: u64 = 0xfee0_0000;
/// The port that ends a run.
pub(crate) const END: u32 = 0xf4;

pub(crate) type Assembled = std::result::Result<(), IcedError>;

/// A guest under construction.
#[derive(Clone)]
pub(crate) struct Guest {
    memory: Vec<u8>,
    vcpus: u32,
    granularity: Granularity,
    /// The sections of the image: name, address, size.
    sections: Vec<(&'static str, u64, u64)>,
}

impl Guest {
    /// A guest with one vCPU that runs this code.
    pub(crate) fn new(code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Self {
        let memory = vec![0; (IMAGE_END - IMAGE) as usize];
        let sections = vec![(".shared", SHARED, SHARED_END - SHARED)];
        let mut guest = Self { memory, vcpus: 1, granularity: Granularity::Watch, sections };
        guest.put(
            IMAGE,
            &assemble(32, IMAGE, |a| {
                a.cld()?;
                a.mov(esi, TRAMPOLINE_SOURCE as u32)?;
                a.mov(edi, TRAMPOLINE as u32)?;
                a.mov(ecx, 0x200)?;
                a.rep().movsb()?;
                a.lgdt(fword_ptr(TRAMPOLINE as u32 + 0x1f0))?;
                long_mode(a)?;
                a.db(&[0xea])?;
                far(a)
            }),
        );
        guest.put(
            TRAMPOLINE_SOURCE,
            &assemble(16, TRAMPOLINE, |a| {
                a.cli()?;
                a.mov(ax, cs)?;
                a.mov(ds, ax)?;
                a.db(&[0x66, 0x0f, 0x01, 0x16, 0xf0, 0x01])?; // lgdtl 0x1f0
                long_mode(a)?;
                a.db(&[0x66, 0xea])?;
                far(a)
            }),
        );
        guest.put(TRAMPOLINE_SOURCE + 0x1f0, &table(0x37, GDT)[..6]);
        guest.put(
            LONG,
            &assemble(64, LONG, |a| {
                a.mov(eax, 0x10)?;
                for segment in [ds, es, ss] {
                    a.mov(segment, ax)?;
                }
                a.mov(ebx, (LAPIC + 0x20) as u32)?;
                a.mov(edi, dword_ptr(rbx))?;
                a.shr(edi, 24)?;
                a.mov(ebx, edi)?;
                a.shl(ebx, 12)?;
                a.lea(rsp, qword_ptr(rbx + STACKS as i32))?;
                a.lidt(tbyte_ptr(IDT + 0x1000 - 16))?;
                a.mov(ebx, CODE as u32)?;
                a.jmp(rbx)
            }),
        );
        guest.put(PML4, &quads([PDPT | 7]));
        guest.put(PDPT, &quads([LOW_PD | 7, 0, 0, HIGH_PD | 7]));
        guest.put(LOW_PD, &quads((0..512).map(|page| page << 21 | 0x87)));
        guest.put(HIGH_PD, &quads((0..512).map(|page| 3 << 30 | page << 21 | 0x87)));
        let task = 0x67 | (TSS & 0xff_ffff) << 16 | 0x89 << 40;
        guest.put(GDT, &quads([0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, task, 0, 0, 0]));
        // The last gate's place holds the operand of LIDT instead.
        guest.put(
            IDT,
            &(0..255u8).flat_map(|v| gate(HANDLERS + 16 * u64::from(v))).collect::<Vec<_>>(),
        );
        guest.put(IDT + 0x1000 - 16, &table(0xfef, IDT));
        for vector in 0..255u8 {
            // mov $0x100 + vector,%eax; out %eax,$END; hlt
            let handler = [0xb8, vector, 1, 0, 0, 0xe7, END as u8, 0xf4];
            guest.put(HANDLERS + 16 * u64::from(vector), &handler);
        }
        guest.put(CODE, &assemble(64, CODE, code));
        guest
    }

    /// Sets the number of vCPUs. The code starts the others by [`start_others`].
    pub(crate) fn with_vcpus(mut self, vcpus: u32) -> Self {
        self.vcpus = vcpus;
        self
    }

    /// Makes each instruction a scheduling point, and removes the sections.
    pub(crate) fn stepped(mut self) -> Self {
        self.granularity = Granularity::Instruction;
        self.sections.clear();
        self
    }

    /// Sets a handler, of at most 0x400 bytes.
    pub(crate) fn handle(
        self,
        vector: u8,
        code: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> Self {
        self.handle_at(vector, code).0
    }

    /// Sets a handler, and returns its address.
    pub(crate) fn handle_at(
        mut self,
        vector: u8,
        code: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> (Self, u64) {
        let address = CODE + 0x4000 + 0x400 * (u64::from(vector) & 0xf);
        self.put(address, &assemble(64, address, code));
        self.put(IDT + 16 * u64::from(vector), &gate(address));
        (self, address)
    }

    /// Puts bytes into the image.
    pub(crate) fn with(mut self, address: u64, bytes: &[u8]) -> Self {
        self.put(address, bytes);
        self
    }

    fn put(&mut self, address: u64, bytes: &[u8]) {
        let at = (address - IMAGE) as usize;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The machine's configuration.
    pub(crate) fn config(&self) -> MachineConfig {
        let image = GuestImage { name: "test".into(), bytes: Cow::Owned(self.elf()) };
        let mut config = MachineConfig::new(image, CpuCount::new(self.vcpus).unwrap());
        config.memory = MemorySize::new(4 << 20).unwrap();
        config.granularity = self.granularity;
        config
    }

    /// The machine, ready to run.
    pub(crate) fn machine(&self) -> ControlledMachine {
        boot(&self.config()).unwrap()
    }

    /// An ELF file with one segment, a PVH note, and the sections' names.
    fn elf(&self) -> Vec<u8> {
        const HEADERS: u64 = 64 + 2 * 56 + 20;
        let names: Vec<u8> = self.sections.iter().fold(vec![0], |mut names, section| {
            names.extend(section.0.as_bytes());
            names.push(0);
            names
        });
        let (size, count) = (self.memory.len() as u64, self.sections.len() as u16 + 2);
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
        file.resize(16, 0);
        file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        file.extend(IMAGE.to_le_bytes());
        file.extend(64u64.to_le_bytes());
        file.extend((HEADERS + size + names.len() as u64).to_le_bytes());
        file.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0]);
        file.extend(count.to_le_bytes());
        file.extend((count - 1).to_le_bytes());
        for (kind, offset, address, length) in
            [(1u32, HEADERS, IMAGE, size), (4, HEADERS - 20, 0, 20)]
        {
            file.extend([kind.to_le_bytes(), 7u32.to_le_bytes()].concat());
            file.extend(quads([offset, address, address, length, length, 4]));
        }
        for word in [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), IMAGE as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&self.memory);
        file.extend(&names);
        let mut section = |name: u32, kind: u32, address: u64, offset: u64, length: u64| {
            file.extend([name.to_le_bytes(), kind.to_le_bytes()].concat());
            file.extend(quads([3, address, offset, length, 0, 1, 0]));
        };
        section(0, 0, 0, 0, 0);
        let mut name = 1;
        for (text, address, length) in &self.sections {
            section(name, 8, *address, 0, *length);
            name += text.len() as u32 + 1;
        }
        section(0, 3, 0, HEADERS + size, names.len() as u64);
        file
    }
}

/// A machine on this host's KVM.
pub(crate) fn boot(config: &MachineConfig) -> Result<ControlledMachine> {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE))?;
    ControlledMachine::new(&host, config, Box::new(sink()))
}

/// A guest with one vCPU that runs this code, and the addresses of its labels.
pub(crate) fn places<const N: usize>(
    code: impl FnOnce(&mut CodeAssembler, &mut [CodeLabel; N]) -> Assembled,
) -> (Guest, [u64; N]) {
    let mut assembler = CodeAssembler::new(64).unwrap();
    let mut labels = [(); N].map(|()| assembler.create_label());
    code(&mut assembler, &mut labels).unwrap();
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let assembled = assembler.assemble_options(CODE, options).unwrap();
    let places = labels.map(|label| assembled.label_ip(&label).unwrap());
    let bytes = assembled.inner.code_buffer;
    (Guest::new(CodeAssembler::nop).with(CODE, &bytes), places)
}

/// Starts all other vCPUs with the same code.
pub(crate) fn start_others(a: &mut CodeAssembler) -> Assembled {
    for command in [0xc_4500u32, 0xc_4600 | (TRAMPOLINE >> 12) as u32] {
        a.mov(eax, command)?;
        a.mov(ebx, (LAPIC + 0x300) as u32)?;
        a.mov(dword_ptr(rbx), eax)?;
    }
    Ok(())
}

/// Ends the run with this code.
pub(crate) fn end(a: &mut CodeAssembler, code: u32) -> Assembled {
    a.mov(eax, code)?;
    a.out(END, eax)?;
    a.hlt()
}

fn long_mode(a: &mut CodeAssembler) -> Assembled {
    a.mov(eax, 0x620)?; // PAE, and SSE
    a.mov(cr4, eax)?;
    a.mov(eax, PML4 as u32)?;
    a.mov(cr3, eax)?;
    a.mov(ecx, 0xc000_0080u32)?;
    a.mov(eax, 0x100)?;
    a.xor(edx, edx)?;
    a.wrmsr()?;
    a.mov(eax, 0x8001_0033u32)?;
    a.mov(cr0, eax)
}

fn far(a: &mut CodeAssembler) -> Assembled {
    a.db(&(LONG as u32).to_le_bytes())?;
    a.db(&[8, 0])
}

fn assemble(
    bits: u32,
    address: u64,
    code: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(bits).unwrap();
    code(&mut assembler).unwrap();
    assembler.assemble(address).unwrap()
}

fn quads(values: impl IntoIterator<Item = u64>) -> Vec<u8> {
    values.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// The operand of LGDT and LIDT.
fn table(limit: u16, base: u64) -> Vec<u8> {
    [limit.to_le_bytes().to_vec(), base.to_le_bytes().to_vec()].concat()
}

/// An interrupt gate.
fn gate(handler: u64) -> Vec<u8> {
    let low = handler & 0xffff | 8 << 16 | 0x8e << 40 | (handler >> 16 & 0xffff) << 48;
    quads([low, handler >> 32])
}
