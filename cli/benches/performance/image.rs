//! The guests of the benchmarks: small ones made here, and the parts of a real image that the floor
//! needs.

use std::io;

use object::LittleEndian as LE;
use object::elf::{FileHeader64, PT_LOAD, PT_NOTE, SHT_NOBITS, SHT_NULL, SHT_STRTAB};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// A write to this port ends a run.
pub(crate) const END_PORT: u16 = 0xf4;
/// A write to this port marks the place where a search takes its snapshot.
pub(crate) const MARK_PORT: u16 = 0xf5;
/// No device has this port.
const IDLE_PORT: u8 = 0x80;

/// Bytes in a page.
pub(crate) const PAGE: u64 = 4096;
/// The address at which images are linked.
pub(crate) const BASE: u64 = 0x10_0000;
/// The address of the trapped page of an image that has one, and of the image's private pages.
pub(crate) const SHARED: u64 = 0x20_0000;
pub(crate) const PRIVATE: u64 = 0x30_0000;
/// The end of the memory of such an image.
pub(crate) const END: u64 = 0x40_0000;
/// Where the floor puts what a PVH guest reads at its start: the start info and the command line.
const START_INFO: u64 = 0x6000;
const COMMAND_LINE: u64 = 0x2_0000;

/// Code in memory, for the floor.
pub(crate) struct Program {
    pub(crate) entry: u64,
    pub(crate) start_info: u64,
    segments: Vec<(u64, Vec<u8>)>,
}

impl Program {
    /// 32-bit code at [`BASE`].
    pub(crate) fn flat(code: Vec<u8>) -> Self {
        Self { entry: BASE, start_info: 0, segments: vec![(BASE, code)] }
    }

    /// A PVH image, with the command line `cpus=1`.
    pub(crate) fn pvh(image: &[u8]) -> io::Result<Self> {
        Self::read(image).ok_or_else(|| io::Error::other("not an ELF64 image with a PVH note"))
    }

    fn read(image: &[u8]) -> Option<Self> {
        let header = FileHeader64::<LE>::parse(image).ok()?;
        let mut entry = None;
        let mut segments = vec![(START_INFO, start_info()), (COMMAND_LINE, b"cpus=1\0".to_vec())];
        for segment in header.program_headers(LE, image).ok()? {
            if segment.p_type(LE) == PT_LOAD {
                segments.push((segment.p_paddr(LE), segment.data(LE, image).ok()?.to_vec()));
            } else if segment.p_type(LE) == PT_NOTE {
                let mut notes = segment.notes(LE, image).ok()??;
                while let Ok(Some(note)) = notes.next() {
                    if note.name() == b"Xen" {
                        entry = note.desc().first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
                    }
                }
            }
        }
        Some(Self { entry: entry?.into(), start_info: START_INFO, segments })
    }

    pub(crate) fn segments(&self) -> &[(u64, Vec<u8>)] {
        &self.segments
    }
}

/// Xen's `hvm_start_info`, with nothing but a command line.
fn start_info() -> Vec<u8> {
    const MAGIC: u32 = 0x336e_c578;
    let mut info = [0; 56];
    info[..4].copy_from_slice(&MAGIC.to_le_bytes());
    info[24..32].copy_from_slice(&COMMAND_LINE.to_le_bytes());
    info.to_vec()
}

/// How many exits follow each other in the loop, so that the exits are measured and not the loop.
const UNROLLED: u64 = 16;

/// 32-bit code that writes to a port at least this number of times, and then ends the run. Returns
/// the code and the number of its exits.
pub(crate) fn port_writes(times: u64) -> (Vec<u8>, u64) {
    let (code, done) = repeat(&[0xe6, IDLE_PORT], UNROLLED, times); // out IDLE_PORT, al
    (code, done + 1)
}

/// The same with stores to the page at [`SHARED`]. Returns the code and the number of stores.
pub(crate) fn stores(times: u64) -> (Vec<u8>, u64) {
    let mut store = vec![0xa3]; // mov [SHARED], eax
    store.extend((SHARED as u32).to_le_bytes());
    repeat(&store, UNROLLED, times)
}

/// The same with an instruction at [`LANDMARK`] that does nothing.
pub(crate) fn nops(times: u64) -> (Vec<u8>, u64) {
    repeat(&[0x90], 1, times)
}

/// The address at which [`repeat`] puts the first instruction.
pub(crate) const LANDMARK: u64 = BASE + 5;

/// 32-bit code that executes an instruction at least this number of times, `unrolled` times in each
/// iteration of a loop, and then ends the run. Returns the code and the exact number.
fn repeat(instruction: &[u8], unrolled: u64, times: u64) -> (Vec<u8>, u64) {
    let rounds = times.div_ceil(unrolled).clamp(1, u64::from(u32::MAX));
    let mut code = vec![0xb9]; // mov ecx, rounds
    code.extend((rounds as u32).to_le_bytes());
    for _ in 0..unrolled {
        code.extend(instruction); // again:
    }
    code.push(0x49); // dec ecx
    let back = unrolled as usize * instruction.len() + 3;
    code.extend([0x75, (back as u8).wrapping_neg()]); // jnz again
    code.extend(end());
    (code, rounds * unrolled)
}

/// 32-bit code that ends the run.
pub(crate) fn end() -> Vec<u8> {
    vec![
        0x31,
        0xc0, // xor eax, eax
        0xe7,
        END_PORT as u8, // out END_PORT, eax
        0xf4,           // hlt
    ]
}

/// An ELF64 file with this code at its PVH entry.
pub(crate) fn elf(code: &[u8]) -> Vec<u8> {
    file(code, BASE + code.len() as u64, &[])
}

/// The same with memory up to [`END`]. The page at [`SHARED`] is the section `.shared`.
pub(crate) fn elf_with_shared(code: &[u8]) -> Vec<u8> {
    file(code, END, b"\0.shared\0.shstrtab\0")
}

/// An ELF64 file that occupies the memory from [`BASE`] to `end`. Its sections have these names;
/// without names it has no sections.
fn file(code: &[u8], end: u64, names: &[u8]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 2 * 56;
    const NOTE: u64 = 20;
    let size = code.len() as u64;
    let names_at = HEADERS + NOTE + size;
    let (sections, sections_at) =
        if names.is_empty() { (0, 0) } else { (3, names_at + names.len() as u64) };
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    half(&mut file, 2); // an executable
    half(&mut file, 62); // for x86-64
    word(&mut file, 1);
    long(&mut file, BASE);
    long(&mut file, 64); // program headers
    long(&mut file, sections_at);
    word(&mut file, 0);
    // The last section contains the names.
    for value in [64, 56, 2, 64, sections, u16::saturating_sub(sections, 1)] {
        half(&mut file, value);
    }
    for (kind, offset, address, size, in_memory) in
        [(PT_NOTE, HEADERS, 0, NOTE, NOTE), (PT_LOAD, HEADERS + NOTE, BASE, size, end - BASE)]
    {
        word(&mut file, kind.0);
        word(&mut file, 7); // read, write, execute
        for value in [offset, address, address, size, in_memory, 1] {
            long(&mut file, value);
        }
    }
    for value in [4, 4, 18] {
        word(&mut file, value); // XEN_ELFNOTE_PHYS32_ENTRY
    }
    file.extend(b"Xen\0");
    word(&mut file, BASE as u32);
    file.extend(code);
    file.extend(names);
    let headers = [
        (0, SHT_NULL, 0, 0, 0),
        (1, SHT_NOBITS, SHARED, names_at, PAGE),
        (9, SHT_STRTAB, 0, names_at, names.len() as u64),
    ];
    for (name, kind, address, offset, size) in &headers[..sections.into()] {
        word(&mut file, *name);
        word(&mut file, kind.0);
        for value in [0, *address, *offset, *size, 0, 1, 0] {
            long(&mut file, value);
        }
    }
    file
}
