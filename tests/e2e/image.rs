//! Small guests: ELF64 images with a PVH note, made of a few instructions.

use iced_x86::IcedError;
use iced_x86::code_asm::registers::gpr16::{ax, bp, dx, sp};
use iced_x86::code_asm::registers::gpr32::{eax, ebx, ecx, esi, esp};
use iced_x86::code_asm::registers::segment::{cs, ds, ss};
use iced_x86::code_asm::registers::xmm::{xmm0, xmm1};
use iced_x86::code_asm::registers::{cr4, gpr8::al};
use iced_x86::code_asm::{CodeAssembler, byte_ptr, dword_ptr, fword_ptr, word_ptr};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSegment};

use crate::scratch::ScratchFile;

/// The address of the code, which is also its entry.
const ADDRESS: u32 = 0x10_0000;
/// A page that the guest's vCPUs share, if they do, and the end of the stack after it.
const SHARED: u32 = 0x10_2000;
const STACK: u32 = 0x10_4000;
/// The highest segment of real mode reaches that page.
const SEGMENT: u32 = 0xffff;
const IN_SEGMENT: u32 = SHARED - (SEGMENT << 4);
/// The size of the ELF header with two program headers and the note.
pub(crate) const HEADERS: usize = 64 + 2 * 56 + 20;

const CONSOLE: u32 = 0x3f8;
const LINE_STATUS: u32 = 0x3fd;
const END: u32 = 0xf4;

/// An image; change a field to damage it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) class: u8,
    pub(crate) machine: u8,
    pub(crate) has_note: bool,
    pub(crate) address: u64,
    /// The segment's size in memory, if it is larger than its code.
    pub(crate) size: u64,
    /// Whether it has a section `.shared`.
    pub(crate) shares: bool,
    pub(crate) code: Vec<u8>,
}

impl Image {
    /// An image of this 32-bit code.
    pub(crate) fn new(code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Self {
        let mut assembler = CodeAssembler::new(32).expect("32-bit code");
        code(&mut assembler).expect("instructions that exist");
        let code = assembler.assemble(ADDRESS.into()).expect("instructions that fit");
        Self {
            class: 2,
            machine: 62,
            has_note: true,
            address: ADDRESS.into(),
            size: 0,
            shares: false,
            code,
        }
    }

    /// The same image with a shared page and a stack.
    fn sharing(mut self) -> Self {
        (self.shares, self.size) = (true, (STACK - ADDRESS).into());
        self
    }

    /// The contents of the ELF file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        const LOAD: u32 = 1;
        const NOTE: u32 = 4;
        let code = self.code.len() as u64;
        let mut file = vec![0x7f, b'E', b'L', b'F', self.class, 1, 1];
        file.resize(16, 0);
        file.extend([2, 0, self.machine, 0, 1, 0, 0, 0]);
        file.extend(u64::to_le_bytes(self.address));
        file.extend(u64::to_le_bytes(64)); // the program headers
        file.resize(52, 0);
        file.extend([64, 0, 56, 0, 2, 0]);
        file.resize(64, 0);
        let mut segment = |kind: u32, offset: u64, address: u64, in_file: u64, in_memory: u64| {
            file.extend(kind.to_le_bytes());
            file.extend(7u32.to_le_bytes());
            for word in [offset, address, address, in_file, in_memory, 4] {
                file.extend(word.to_le_bytes());
            }
        };
        segment(LOAD, HEADERS as u64, self.address, code, self.size.max(code));
        segment(if self.has_note { NOTE } else { 0 }, HEADERS as u64 - 20, 0, 20, 20);
        for word in [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), ADDRESS] {
            file.extend(word.to_le_bytes());
        }
        assert_eq!(file.len(), HEADERS);
        file.extend(&self.code);
        if self.shares {
            add_sections(&mut file);
        }
        file
    }

    /// The ELF file, in a folder of its own.
    pub(crate) fn file(&self) -> ScratchFile {
        ScratchFile::new("tiny.elf", self.bytes())
    }
}

/// Adds a section header for the shared page, and the headers that this requires.
fn add_sections(file: &mut Vec<u8>) {
    const NAMES: &[u8] = b"\0.shared\0.names\0";
    const NOTHING: u64 = 8; // SHT_NOBITS
    const STRINGS: u64 = 3; // SHT_STRTAB
    let names = file.len() as u64;
    file.extend(NAMES);
    let headers = file.len() as u64;
    file.extend([0; 64]);
    let mut section = |name: u32, kind: u64, address: u32, offset: u64, size: u64| {
        file.extend(name.to_le_bytes());
        file.extend((kind as u32).to_le_bytes());
        for word in [3, address.into(), offset, size, 0, 1, 0] {
            file.extend(u64::to_le_bytes(word));
        }
    };
    section(1, NOTHING, SHARED, 0, 0x1000);
    section(9, STRINGS, 0, names, NAMES.len() as u64);
    file[40..48].copy_from_slice(&headers.to_le_bytes());
    file[58..64].copy_from_slice(&[64, 0, 3, 0, 2, 0]);
}

/// Where a loop keeps its count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counter {
    Stack,
    Register,
}

/// Waits for a shared flag that is never set, and counts; ends the run as a success after this
/// number of rounds.
pub(crate) fn count_and_wait(counter: Counter, rounds: u32) -> Image {
    let image = Image::new(|a| {
        let mut again = a.create_label();
        let mut enough = a.create_label();
        a.mov(esp, STACK)?;
        a.push(0)?;
        a.xor(ecx, ecx)?;
        a.set_label(&mut again)?;
        match counter {
            Counter::Stack => {
                a.inc(dword_ptr(esp))?;
                a.cmp(dword_ptr(esp), rounds)?;
            }
            Counter::Register => {
                a.inc(ecx)?;
                a.cmp(ecx, rounds)?;
            }
        }
        a.jae(enough)?;
        a.cmp(dword_ptr(SHARED), 0)?;
        a.je(again)?;
        a.set_label(&mut enough)?;
        end_run(a, 0)
    });
    image.sharing()
}

/// Ends the run with this code.
pub(crate) fn exit(code: u32) -> Image {
    Image::new(|a| end_run(a, code))
}

/// Prints a text and ends the run with this code.
pub(crate) fn print_and_exit(text: impl AsRef<[u8]>, code: u32) -> Image {
    Image::new(|a| {
        print(a, text.as_ref())?;
        end_run(a, code)
    })
}

/// Writes a byte to a port, and then sleeps for ever, without interrupts.
pub(crate) fn write_port(port: u16, value: u8) -> Image {
    Image::new(|a| {
        out(a, port.into(), value.into())?;
        sleep(a)
    })
}

/// Resets the machine by its firmware: enters real mode and jumps to ffff:0000.
pub(crate) fn jump_to_the_reset_vector() -> Image {
    /// At 0800:0000, in real mode: `ljmp $0xffff,$0`.
    const REAL_MODE: &[u8] = b"\xea\0\0\xff\xff";
    Image::new(|a| {
        start_ap(a, REAL_MODE)?;
        sleep(a)
    })
}

/// Prints a text and sleeps for ever, without interrupts.
pub(crate) fn print_and_halt(text: impl AsRef<[u8]>) -> Image {
    Image::new(|a| {
        print(a, text.as_ref())?;
        sleep(a)
    })
}

/// Prints its own code and this number of bytes after it, and a newline.
pub(crate) fn print_much(bytes: u32) -> Image {
    Image::new(|a| {
        a.mov(esi, ADDRESS)?;
        a.mov(ecx, bytes)?;
        a.mov(dx, CONSOLE)?;
        a.rep().outsb()?;
        out(a, CONSOLE, b'\n'.into())?;
        end_run(a, 0)
    })
}

/// Sleeps for ever, without interrupts.
pub(crate) fn halt() -> Image {
    Image::new(sleep)
}

/// Idles: sleeps with interrupts on. If it `reads`, input causes an interrupt.
pub(crate) fn idle(reads: bool) -> Image {
    Image::new(|a| {
        let mut forever = a.create_label();
        if reads {
            out(a, CONSOLE + 1, 1)?;
        }
        a.set_label(&mut forever)?;
        a.sti()?;
        a.hlt()?;
        a.jmp(forever)
    })
}

/// Counts to this number, and ends the run with 0.
pub(crate) fn count(rounds: u32) -> Image {
    Image::new(|a| {
        let mut again = a.create_label();
        a.mov(ecx, rounds)?;
        a.set_label(&mut again)?;
        a.dec(ecx)?;
        a.jnz(again)?;
        end_run(a, 0)
    })
}

/// Echoes this number of bytes of its console, and then ends the run with 0.
pub(crate) fn echo(bytes: u32) -> Image {
    Image::new(|a| {
        let mut next = a.create_label();
        let mut wait = a.create_label();
        a.mov(ecx, bytes)?;
        a.set_label(&mut next)?;
        a.mov(dx, LINE_STATUS)?;
        a.set_label(&mut wait)?;
        a.pause()?;
        a.in_(al, dx)?;
        a.test(al, 1)?;
        a.jz(wait)?;
        a.mov(dx, CONSOLE)?;
        a.in_(al, dx)?;
        a.out(dx, al)?;
        a.dec(ecx)?;
        a.jnz(next)?;
        end_run(a, 0)
    })
}

/// Prints an empty line about every 50 ms, and spins in between.
pub(crate) fn heartbeat() -> Image {
    const CYCLES: u32 = 100_000_000;
    Image::new(|a| {
        let mut beat = a.create_label();
        let mut wait = a.create_label();
        a.set_label(&mut beat)?;
        out(a, CONSOLE, b'\n'.into())?;
        a.rdtsc()?;
        a.mov(ebx, eax)?;
        a.set_label(&mut wait)?;
        a.pause()?;
        a.rdtsc()?;
        a.sub(eax, ebx)?;
        a.cmp(eax, CYCLES)?;
        a.jb(wait)?;
        a.jmp(beat)
    })
}

/// Causes a fault without a handler for it, or for the fault that results.
pub(crate) fn triple_fault() -> Image {
    Image::new(|a| {
        // The table has no length.
        a.mov(esp, ADDRESS + 0x1000)?;
        a.push(0)?;
        a.push(0)?;
        a.lidt(fword_ptr(esp))?;
        a.ud2()
    })
}

/// Starts vCPU 1, which faults as in [`triple_fault`].
pub(crate) fn triple_fault_on_ap() -> Image {
    /// Goes from real mode at 0800:0000 into protected mode, where neither table has an entry:
    /// `lidt %cs:24; mov %cr0,%eax; or $1,%al; mov %eax,%cr0; mov $-8,%ax; mov %ax,%ds`.
    const AP: &[u8] =
        b"\x2e\x0f\x01\x1e\x18\x00\x0f\x20\xc0\x0c\x01\x0f\x22\xc0\xb8\xf8\xff\x8e\xd8\
        \0\0\0\0\0\0\0\0\0\0\0";
    Image::new(|a| {
        start_ap(a, AP)?;
        sleep(a)
    })
}

/// Starts vCPU 1, which sets a shared flag, and doesn't wait for it. Ends with code 1 if the flag
/// isn't set.
pub(crate) fn start_and_look() -> Image {
    let mut ap = CodeAssembler::new(16).expect("16-bit code");
    let mut setting = || {
        ap.mov(ax, SEGMENT)?;
        ap.mov(ds, ax)?;
        ap.mov(word_ptr(IN_SEGMENT), 1)?;
        sleep(&mut ap)
    };
    setting().expect("instructions that exist");
    let ap = ap.assemble(0).expect("instructions that fit");
    let image = Image::new(|a| {
        let mut set = a.create_label();
        start_ap(a, &ap)?;
        a.cmp(dword_ptr(SHARED), 0)?;
        a.jne(set)?;
        end_run(a, 1)?;
        a.set_label(&mut set)?;
        end_run(a, 0)
    });
    image.sharing()
}

/// Two vCPUs that count. vCPU 1 waits for a flag that is never set, and gives up after this number
/// of rounds; vCPU 0 waits for that, and ends the run as a success.
pub(crate) fn count_and_wait_for_ap(rounds: u32) -> Image {
    let mut ap = CodeAssembler::new(16).expect("16-bit code");
    let mut counting = || {
        let mut again = ap.create_label();
        let mut enough = ap.create_label();
        ap.mov(ax, SEGMENT)?;
        ap.mov(ds, ax)?;
        ap.mov(ax, cs)?;
        ap.mov(ss, ax)?;
        ap.mov(esp, 0x800)?;
        ap.push(0)?;
        ap.mov(bp, sp)?;
        ap.set_label(&mut again)?;
        ap.inc(word_ptr(bp))?;
        ap.cmp(word_ptr(bp), rounds)?;
        ap.jae(enough)?;
        ap.cmp(word_ptr(IN_SEGMENT), 0)?;
        ap.je(again)?;
        ap.set_label(&mut enough)?;
        ap.mov(word_ptr(IN_SEGMENT + 8), 1)?;
        sleep(&mut ap)
    };
    counting().expect("instructions that exist");
    let ap = ap.assemble(0).expect("instructions that fit");
    let image = Image::new(|a| {
        let mut again = a.create_label();
        start_ap(a, &ap)?;
        a.set_label(&mut again)?;
        a.inc(ecx)?;
        a.cmp(dword_ptr(SHARED + 8), 0)?;
        a.je(again)?;
        end_run(a, 0)
    });
    image.sharing()
}

/// Puts code where vCPU 1 starts, in real mode, and starts it.
fn start_ap(a: &mut CodeAssembler, code: &[u8]) -> Result<(), IcedError> {
    const AP_ADDRESS: u32 = 0x8000;
    const COMMAND: u32 = 0xfee0_0300;
    const DESTINATION: u32 = 0xfee0_0310;
    const INIT: u32 = 0x4500;
    const SIPI: u32 = 0x4600;
    for (at, &byte) in (AP_ADDRESS..).zip(code) {
        a.mov(byte_ptr(at), u32::from(byte))?;
    }
    for command in [INIT, SIPI | AP_ADDRESS >> 12] {
        a.mov(dword_ptr(DESTINATION), 1 << 24)?;
        a.mov(dword_ptr(COMMAND), command)?;
    }
    Ok(())
}

/// Adds floating-point numbers in ring 0 and ends the run with 0.
pub(crate) fn sse() -> Image {
    const OSFXSR: u32 = 1 << 9;
    Image::new(|a| {
        a.mov(eax, OSFXSR)?;
        a.mov(cr4, eax)?;
        a.addps(xmm0, xmm1)?;
        end_run(a, 0)
    })
}

/// A guest of the catalogue.
pub(crate) fn guest(name: &str) -> &'static [u8] {
    guests::find(name).expect("a guest of the catalogue").image
}

/// The length of a kernel's file up to the end of what is loaded.
pub(crate) fn loaded_end(elf: &[u8]) -> usize {
    let file: ElfFile64 = ElfFile64::parse(elf).expect("an ELF file");
    let ranges = file.segments().map(|segment| segment.file_range());
    ranges.map(|(offset, size)| offset + size).max().expect("segments") as usize
}

fn print(a: &mut CodeAssembler, text: &[u8]) -> Result<(), IcedError> {
    text.iter().try_for_each(|&byte| out(a, CONSOLE, byte.into()))
}

fn out(a: &mut CodeAssembler, port: u32, byte: u32) -> Result<(), IcedError> {
    a.mov(dx, port)?;
    a.mov(al, byte)?;
    a.out(dx, al)
}

pub(crate) fn end_run(a: &mut CodeAssembler, code: u32) -> Result<(), IcedError> {
    a.mov(dx, END)?;
    a.mov(eax, code)?;
    a.out(dx, eax)?;
    sleep(a)
}

fn sleep(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut forever = a.create_label();
    a.cli()?;
    a.set_label(&mut forever)?;
    a.hlt()?;
    a.jmp(forever)
}
