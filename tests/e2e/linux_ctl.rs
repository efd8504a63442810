//! The claim: an NMI from outside makes an unmodified Linux print its own stack while a program
//! keeps one of its processors busy, and a dump of it is one that drgn and crash recognise.

use std::fs;

use object::Endianness;
use object::elf::{FileHeader64, NT_PRSTATUS};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::ctl::{answer, start};
use crate::linux::shell;
use crate::scratch::Folder;

tests! {
    Linux: linux_is_dumped_and_prints_its_stack_at_an_nmi;
}

fn linux_is_dumped_and_prints_its_stack_at_an_nmi() {
    let folder = Folder::new();
    let commands = "busybox echo sta''rted\nwhile :; do :; done\n";
    let run = shell(2, "console=ttyS0 unknown_nmi_panic", commands);
    let (running, socket) = start(&folder, run);
    running.prints("started\r");
    let waits = answer(&socket, "waits");
    assert!(waits.contains("vCPU 0: ") && waits.contains("vCPU 1: "), "{waits}");

    let file = folder.join("core");
    answer(&socket, &format!("dump {}", file.display()));
    let dump = fs::read(&file).expect("the dump");
    let header = FileHeader64::<Endianness>::parse(&*dump).expect("an ELF file");
    let endian = header.endian().expect("an order of bytes");
    let segments = header.program_headers(endian, &*dump).expect("segments");
    let (mut vcpus, mut info) = (0, String::new());
    for segment in segments {
        let Some(mut notes) = segment.notes(endian, &*dump).expect("notes") else { continue };
        while let Some(note) = notes.next().expect("a note") {
            vcpus += u32::from(note.name() == b"CORE" && note.n_type(endian) == NT_PRSTATUS);
            if note.name() == b"VMCOREINFO" {
                info = String::from_utf8_lossy(note.desc()).into_owned();
            }
        }
    }
    assert_eq!(vcpus, 2);
    for name in ["OSRELEASE=", "SYMBOL(init_uts_ns)=", "NUMBER(phys_base)=", "KERNELOFFSET="] {
        assert!(info.contains(name), "{name}: {info}");
    }
    // The version is where the kernel says that it is: gdb reads it by the mapped segments.
    let number = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)).expect("a symbol");
        u64::from_str_radix(line, 16).expect("an address")
    };
    let (names, release) = (number("SYMBOL(init_uts_ns)="), info.lines().next().expect("a line"));
    let release = release.trim_start_matches("OSRELEASE=").as_bytes();
    let holds = |segment: &&object::elf::ProgramHeader64<Endianness>| {
        let start = segment.p_vaddr(endian);
        start != 0 && (start..start + segment.p_filesz(endian)).contains(&names)
    };
    let segment = segments.iter().find(holds).expect("the kernel's data are mapped");
    let data = segment.data(endian, &*dump).expect("the segment");
    let at = (names - segment.p_vaddr(endian)) as usize;
    assert!(data[at..at + 1024].windows(release.len()).any(|bytes| bytes == release));

    let sent = answer(&socket, "nmi");
    assert_eq!(sent, "NMI sent to vCPU 0, 1\n");
    let run = running.ends_with(1).says(&["kernel panic: NMI: Not continuing"]);
    for text in ["NMI received for unknown reason", "Call Trace:", "unknown_nmi_error", "exc_nmi+"]
    {
        assert!(run.stdout.contains(text), "{text}: {run}");
    }
}
