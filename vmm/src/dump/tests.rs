use super::*;
use crate::memory::MemorySize;
use object::LittleEndian;
use object::elf::{FileHeader64, NT_PRSTATUS};
use object::read::elf::{FileHeader, ProgramHeader};

/// Two pages are mapped at high addresses, one table maps itself, and one page is outside RAM.
fn machine() -> (Memory, SystemRegisters) {
    let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    let put = |at: u64, entry: u64| memory.write(at, &entry.to_le_bytes()).unwrap();
    put(0x1000 + 511 * 8, 0x2003);
    put(0x1000 + 256 * 8, 0x1003);
    put(0x2000 + 510 * 8, 0x3003);
    put(0x3000, 0x4003);
    put(0x4000, 0x8003);
    put(0x4008, 0x9003);
    put(0x4018, 0x5000_0003);
    memory.write(0x9ff8, b"the mark").unwrap();
    memory.write(0x1f_fff8, b"the last").unwrap();
    let text = b"OSRELEASE=6.1\nPAGESIZE=4096\n";
    let note = [&[11, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0][..], b"VMCOREINFO\0\0", text].concat();
    memory.write(0x10_0000, &note).unwrap();
    let system = SystemRegisters {
        cr0: SystemRegisters::CR0_PG | SystemRegisters::CR0_PE,
        cr3: 0x1000,
        cr4: SystemRegisters::CR4_PAE,
        efer: SystemRegisters::EFER_LMA,
        ..SystemRegisters::default()
    };
    (memory, system)
}

#[test]
fn what_is_mapped_is_listed_with_neighbours_in_one() {
    let (memory, system) = machine();
    let found = mappings(&system, &memory, 100);
    let kernel = 0xffff_ffff_8000_0000;
    let own = |m: &crate::paging::Mapping| (m.virt, m.phys, m.size);
    assert!(found.iter().any(|m| own(m) == (kernel, 0x8000, 0x2000)), "{found:x?}");
    assert!(found.iter().any(|m| own(m) == (kernel + 0x3000, 0x5000_0000, 0x1000)), "{found:x?}");
    // The table that maps itself adds mappings of the tables.
    assert!(found.len() > 2 && found.len() < 20, "{found:x?}");
    assert_eq!(mappings(&system, &memory, 1).len(), 1);
    assert!(mappings(&SystemRegisters::default(), &memory, 9).is_empty(), "paging is off");
}

#[test]
fn the_file_is_a_core_that_holds_the_machine() {
    let (memory, system) = machine();
    let registers = Registers { rip: 0xffff_ffff_8000_0123, rax: 7, ..Registers::default() };
    let folder = std::env::temp_dir().join(format!("jitterbug-core-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = write(&folder.join("c"), &[(registers, system); 3], 2, &memory).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();

    let header = FileHeader64::<LittleEndian>::parse(&*bytes).unwrap();
    assert_eq!(header.e_type.get(LittleEndian), object::elf::ET_CORE);
    let endian = LittleEndian;
    let segments = header.program_headers(endian, &*bytes).unwrap();
    let (mut threads, mut info) = (Vec::new(), Vec::new());
    for segment in segments {
        let Some(mut notes) = segment.notes(endian, &*bytes).unwrap() else { continue };
        while let Some(note) = notes.next().unwrap() {
            let desc = note.desc();
            if note.name() == b"CORE" && note.n_type(endian) == NT_PRSTATUS {
                let word = |at: usize| u64::from_le_bytes(desc[at..at + 8].try_into().unwrap());
                // The order of user_regs_struct: RAX is the 11th, RIP the 17th.
                assert_eq!((word(112 + 10 * 8), word(112 + 16 * 8)), (7, registers.rip));
                threads.push(u32::from_le_bytes(desc[32..36].try_into().unwrap()));
            }
            if note.name() == b"VMCOREINFO" {
                info = note.desc().to_vec();
            }
            if note.name() == b"QEMU" {
                assert_eq!(desc.len(), 440);
                assert_eq!(desc[4..8], 440_u32.to_le_bytes());
            }
        }
    }
    assert_eq!(threads, [1, 2, 3]);
    assert_eq!(info, b"OSRELEASE=6.1\nPAGESIZE=4096\n");
    assert!(blocks * 512 < 64 << 10, "pages of zeroes take no room: {blocks} blocks");
    let find = |virt: u64, phys: u64| {
        let loads = segments.iter().filter(|s| s.p_type(endian) == object::elf::PT_LOAD);
        loads.into_iter().find(|s| (s.p_vaddr(endian), s.p_paddr(endian)) == (virt, phys))
    };
    let kernel = find(0xffff_ffff_8000_0000, 0x8000).unwrap();
    assert_eq!(kernel.data(endian, &*bytes).unwrap()[0x1ff8..], *b"the mark");
    let all = find(0, 0).unwrap();
    assert_eq!(all.p_memsz(endian), 2 << 20);
    let memory_of_dump = all.data(endian, &*bytes).unwrap();
    assert_eq!(memory_of_dump[0x9ff8..0xa000], *b"the mark");
    assert_eq!(memory_of_dump[0x1f_fff8..], *b"the last");
    let mut same = vec![0; 2 << 20];
    memory.read(0, &mut same).unwrap();
    assert!(memory_of_dump == same);
    // Pages outside RAM have no segment.
    assert!(find(0xffff_ffff_8000_3000, 0x5000_0000).is_none());
}

#[test]
fn a_dump_has_a_name_when_it_is_complete() {
    let folder = std::env::temp_dir().join(format!("jitterbug-pending-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let names = || {
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let path = folder.join("c");
    let mut pending = Pending::create(&path).unwrap();
    pending.file.write_all(b"half").unwrap();
    drop(pending);
    assert_eq!(names(), [""; 0], "what is not complete leaves nothing");

    let (memory, system) = machine();
    for expected in ["c", "c.1", "c.2"] {
        let path = write(&path, &[(Registers::default(), system)], 0, &memory).unwrap();
        assert_eq!(path, folder.join(expected));
    }
    assert_eq!(names(), ["c", "c.1", "c.2"]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(write(&path, &[], 0, &memory), Err(Error::Dump { .. })), "no folder");
}
