//! Checks what the other crates assume about the images.

use std::collections::BTreeMap;

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic};
use object::elf::{FileHeader64, NoteType, PF_W, PF_X, PT_LOAD, SHF_ALLOC};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind,
};

use super::{AccessKind, Guest, MAX_CPUS, catalogue, find};

const PAGE: u64 = 0x1000;
const XEN_ELFNOTE_PHYS32_ENTRY: NoteType = NoteType(18);

/// For each guest, functions that a stack should show and the variables that vCPUs share. A guest
/// that uses `race.h` also has the functions and variables of `race.h`.
const EXPECTED: &[(&str, &[&str], &[&str])] = &[
    ("hello", &["boot", "main", "idle"], &["up"]),
    ("spin", &["boot", "main", "spin_outer", "spin_middle", "spin_inner"], &["up"]),
    ("tsc-sync", TSC_SYNC_FUNCTIONS, TSC_SYNC_SHARED),
    ("ap-stack", &["early_boot", "early_step", "ap_main"], &["boot_stack", "up"]),
    ("lost-update", &["add_one"], &["counter"]),
    ("abba", &["move_to_a", "move_to_b"], &["lock_a", "lock_b", "money_a", "money_b"]),
    ("lock-cycle", &["philosopher", "eat"], &["forks"]),
    ("pct-1a", &["publish", "use", "steps"], &["pointer", "steps_done"]),
    ("pct-1b", &["check_then_use", "clear", "steps"], &["pointer", "steps_done"]),
    ("pct-5", &["take_away", "use", "steps"], &["gone", "steps_done", "used"]),
    ("double-init", &["use", "initialise"], &["lock", "object", "storage"]),
    ("refcount", &["look_up", "take_out", "get", "put"], &["object", "table"]),
    ("seqlock", &["read_pair", "write_pair"], &["high", "low", "sequence"]),
    ("ticket-lock", &["draw", "lock_and_unlock"], &["next", "owners", "serving"]),
    ("aba-stack", &["participant", "pop", "push"], &["head", "kept", "successor"]),
    ("publish-flag", &["publish", "take"], &["ready", "result"]),
    ("lost-wakeup", &["sleeper", "sleep", "waker", "on_wake_up"], &["asleep", "something_to_do"]),
    (
        "tlb-shootdown",
        &["reader", "load", "move_page", "flush", "on_shootdown"],
        &["acknowledged", "entry", "frames", "turns"],
    ),
    (
        "irq-mainline",
        &["mainline", "on_send_item", "queue", "sender"],
        &["handled", "items", "tail"],
    ),
    ("lost-request", &["on_call", "server", "ask"], &["answered", "mailbox"]),
    (
        "ack-deadlock",
        &["on_synchronise", "caller", "other"],
        &["acknowledged", "done", "lock", "started"],
    ),
    (
        "stale-mm",
        &["on_flush", "switch_mm", "user", "flusher"],
        &["acknowledged", "active_mm", "flushed_mm", "loaded_mm"],
    ),
    ("late-init", &["third", "bring_up", "reset"], &["online", "reset_sent"]),
    ("merged-nmi", &["on_request", "server", "ask"], &["served"]),
    (
        "early-ipi",
        &["on_flush", "flush_others", "start"],
        &["flushed", "online", "ready", "set_up"],
    ),
];

/// The variables and the functions of `race.h`.
const RACE_SHARED: &[&str] = &["race_finished", "race_open", "race_ready"];
const RACE_FUNCTIONS: &[&str] = &["boot", "main", "race_ap", "work"];

/// Variables that are neither shared nor in a CPU's own page: they belong to the runtime, and are
/// written before there are other CPUs or are for the console.
const PRIVATE: &[&str] =
    &["fifo_enabled", "handlers", "nmi_handler", "planted", "race_part", "room"];

/// [`EXPECTED`] for each guest and its fixed twin.
fn expected() -> Vec<(&'static Guest, Vec<&'static str>, Vec<&'static str>)> {
    let mut all = Vec::new();
    for (name, functions, variables) in EXPECTED {
        let guest = find(name).unwrap();
        let (mut functions, mut variables) = (functions.to_vec(), variables.to_vec());
        if parse(guest).symbol_by_name("race_ap").is_some() {
            functions.extend(RACE_FUNCTIONS);
            variables.extend(RACE_SHARED);
            variables.sort_unstable();
        }
        if let Some(bug) = &guest.bug {
            all.push((find(bug.fixed_twin).unwrap(), functions.clone(), variables.clone()));
        }
        all.push((guest, functions, variables));
    }
    all
}

const TSC_SYNC_FUNCTIONS: &[&str] = &[
    "boot",
    "main",
    "mlsetup",
    "start_other_cpus",
    "start_cpu",
    "mp_start_cpu_common",
    "mp_startup_common",
    "mp_startup_signal",
    "mp_startup_wait",
    "mach_cpu_start",
    "mach_cpucontext_alloc",
    "mach_cpucontext_free",
    "tsc_sync_master",
    "tsc_sync_slave",
    "ap_mlsetup",
    "cpuid_pass1",
    "determine_platform",
    "get_hwenv",
    "cpu_set_state",
    "idle",
];

const TSC_SYNC_SHARED: &[&str] = &[
    "cpu_ready_set",
    "platform_type",
    "procset_master",
    "procset_slave",
    "tsc_master_tick",
    "tsc_slave_tick",
    "tsc_sync_go",
];

fn parse(guest: &Guest) -> ElfFile64<'static> {
    ElfFile64::parse(guest.image).unwrap_or_else(|e| panic!("{}: {e}", guest.name))
}

/// The name and address of each allocated section.
fn layout(elf: &ElfFile64) -> BTreeMap<String, u64> {
    let loaded = |s: &_| matches!(ObjectSection::flags(s), SectionFlags::Elf { sh_flags, .. } if sh_flags & SHF_ALLOC == SHF_ALLOC);
    elf.sections().filter(loaded).map(|s| (s.name().unwrap().to_owned(), s.address())).collect()
}

/// The name and address of each variable in `.shared`.
fn shared(elf: &ElfFile64) -> BTreeMap<String, u64> {
    let section = elf.section_by_name(".shared").expect(".shared").index();
    elf.symbols()
        .filter(|s| s.kind() == SymbolKind::Data && s.section_index() == Some(section))
        .map(|s| (s.name().unwrap().to_owned(), s.address()))
        .collect()
}

#[test]
fn every_guest_says_what_is_expected_of_it() {
    let mut said: Vec<&str> = expected().iter().map(|(guest, ..)| guest.name).collect();
    said.sort_unstable();
    assert_eq!(said.join(" "), env!("GUEST_IMAGES"));
}

#[test]
fn a_guest_runs_with_the_vcpus_that_it_needs() {
    for guest in catalogue() {
        assert!((1..=guest.default_cpus).contains(&guest.min_cpus), "{}", guest.name);
        assert!(guest.default_cpus <= MAX_CPUS, "{}", guest.name);
        let Some(bug) = &guest.bug else { continue };
        let twin = find(bug.fixed_twin).unwrap();
        let needs = |guest: &Guest| (guest.min_cpus, guest.default_cpus);
        assert_eq!(needs(guest), needs(twin), "{}", guest.name);
        assert!(guest.min_cpus >= 2, "{}", guest.name);
    }
}

#[test]
fn the_accesses_that_decide_are_in_the_image() {
    for guest in catalogue() {
        let Some(bug) = &guest.bug else { continue };
        assert!(!bug.pairs.is_empty() && bug.pairs.len() <= bug.depth as usize, "{}", guest.name);
        for image in [guest, find(bug.fixed_twin).unwrap()] {
            let elf = parse(image);
            for pair in bug.pairs {
                let sides = [pair.first, pair.second];
                let is_about_memory = sides.iter().any(|side| side.kind.is_access());
                let known = shared(&elf).contains_key(pair.variable);
                assert_eq!(is_about_memory, known, "{}: {pair:?}", image.name);
                for side in sides.iter().filter(|side| side.kind != AccessKind::Interrupt) {
                    let symbol = elf.symbol_by_name(side.function);
                    let is_function = symbol.is_some_and(|s| s.kind() == SymbolKind::Text);
                    assert!(is_function, "{}: {pair:?}", image.name);
                }
            }
        }
    }
}

#[test]
fn a_race_is_for_shared_variables_alone() {
    for guest in catalogue().iter().filter(|guest| guest.name != "hello") {
        if guest.name.starts_with("tsc-sync") {
            continue; // much of it is written before there are other CPUs
        }
        let elf = parse(guest);
        for section in [".data", ".bss"] {
            let Some(section) = elf.section_by_name(section) else { continue };
            for symbol in elf.symbols().filter(|s| {
                s.kind() == SymbolKind::Data && s.section_index() == Some(section.index())
            }) {
                let name = symbol.name().unwrap();
                let name = name.split_once('.').map_or(name, |(name, _)| name);
                assert!(PRIVATE.contains(&name), "{}: {name}", guest.name);
            }
        }
    }
}

#[test]
fn every_image_that_is_built_is_in_the_catalogue() {
    let mut named: Vec<&str> = catalogue().iter().map(|guest| guest.name).collect();
    named.sort_unstable();
    assert_eq!(named.join(" "), env!("GUEST_IMAGES"));
}

#[test]
fn a_guest_is_found_by_its_name_alone() {
    assert_eq!(find("tsc-sync").unwrap().default_cpus, 6);
    assert!(find("tsc").is_none());
}

#[test]
fn a_bug_has_a_twin_without_it() {
    for guest in catalogue() {
        if let Some(bug) = &guest.bug {
            assert!(find(bug.fixed_twin).is_some_and(|twin| twin.bug.is_none()), "{}", guest.name);
        }
    }
}

#[test]
fn the_pvh_entry_is_a_guest_physical_address_in_executable_code() {
    for guest in catalogue() {
        let elf = parse(guest);
        let header = FileHeader64::<Endianness>::parse(guest.image).unwrap();
        let endian = header.endian().unwrap();
        let mut entries = Vec::new();
        for segment in elf.elf_program_headers() {
            let Some(mut notes) = segment.notes(endian, guest.image).unwrap() else { continue };
            while let Some(note) = notes.next().unwrap() {
                if note.name() == b"Xen" && note.n_type(endian) == XEN_ELFNOTE_PHYS32_ENTRY {
                    entries.push(u64::from(u32::from_le_bytes(note.desc().try_into().unwrap())));
                }
            }
        }
        let &[entry] = &entries[..] else { panic!("{}: entries {entries:x?}", guest.name) };
        let inside = elf.elf_program_headers().iter().any(|p| {
            let start = p.p_paddr(endian);
            p.p_type(endian) == PT_LOAD
                && p.p_flags(endian) & PF_X == PF_X
                && (start..start + p.p_filesz(endian)).contains(&entry)
        });
        assert!(inside, "{}: {entry:#x}", guest.name);
        assert_eq!(elf.entry(), entry, "{}", guest.name);
    }
}

#[test]
fn no_segment_is_writable_and_executable() {
    for guest in catalogue() {
        for segment in parse(guest).elf_program_headers() {
            let both = PF_W | PF_X;
            assert_ne!(segment.p_flags(Endianness::Little) & both, both, "{}", guest.name);
        }
    }
}

#[test]
fn functions_have_a_size_and_a_frame() {
    // push %rbp; mov %rsp, %rbp
    let prologue = [0x55, 0x48, 0x89, 0xe5];
    for (guest, functions, _) in expected() {
        let (name, elf) = (guest.name, parse(guest));
        for function in functions {
            let symbol =
                elf.symbol_by_name(function).unwrap_or_else(|| panic!("{name}: no {function}"));
            assert_eq!(symbol.kind(), SymbolKind::Text, "{name}: {function}");
            assert_ne!(symbol.size(), 0, "{name}: {function}");
            let text = elf.section_by_name(".text").unwrap();
            let code = text.data_range(symbol.address(), 4).unwrap().unwrap();
            // `boot` sets up its frame, the outermost one, by hand.
            assert!(code == prologue || function == "boot", "{name}: {function}: {code:x?}");
        }
    }
}

/// Every instruction of every function, with the function's name.
fn instructions(elf: &ElfFile64) -> Vec<(String, Instruction)> {
    let text = elf.section_by_name(".text").unwrap();
    let mut all = Vec::new();
    for function in elf
        .symbols()
        .filter(|s| s.kind() == SymbolKind::Text && s.section_index() == Some(text.index()))
    {
        let name = function.name().unwrap();
        let bitness = if name == "pvh_start" { 32 } else { 64 };
        let code = text.data_range(function.address(), function.size()).unwrap().unwrap();
        let decoder = Decoder::with_ip(bitness, code, function.address(), DecoderOptions::NONE);
        all.extend(decoder.into_iter().map(|instruction| (name.to_owned(), instruction)));
    }
    all
}

/// The guests use only instructions that KVM's emulator can execute in ring 0, for hosts that have
/// nothing better.
#[test]
fn code_keeps_to_plain_instructions() {
    use CpuidFeature as F;
    let plain = [
        F::INTEL8086,
        F::INTEL186,
        F::INTEL286,
        F::INTEL386,
        F::INTEL486,
        F::X64,
        F::CMOV,
        F::CPUID,
        F::MSR,
        F::TSC,
        F::PAUSE,
        F::MULTIBYTENOP,
    ];
    for guest in catalogue() {
        for (function, instruction) in instructions(&parse(guest)) {
            let known = instruction.cpuid_features().iter().all(|feature| plain.contains(feature));
            // The padding between the stubs is int3, which is never executed.
            let trap = matches!(instruction.mnemonic(), Mnemonic::Int | Mnemonic::INVALID);
            assert!(known && !trap, "{}: {function}: {instruction}", guest.name);
        }
    }
}

/// A race depends on the schedule alone.
#[test]
fn a_race_asks_nothing_that_a_host_answers() {
    for guest in catalogue() {
        // These guests ask what machine they run on.
        if guest.name == "hello" || guest.name.starts_with("tsc-sync") {
            continue;
        }
        for (function, instruction) in instructions(&parse(guest)) {
            let asks = matches!(instruction.mnemonic(), Mnemonic::Cpuid | Mnemonic::Rdtsc);
            // A CPU asks for its own id when it starts.
            assert!(!asks || function == "ap_boot", "{}: {function}: {instruction}", guest.name);
        }
    }
}

#[test]
fn shared_variables_have_whole_pages_to_themselves() {
    for (guest, _, variables) in expected() {
        let (name, elf) = (guest.name, parse(guest));
        let section = elf.section_by_name(".shared").unwrap();
        let start = elf.symbol_by_name("__shared_start").unwrap().address();
        let end = elf.symbol_by_name("__shared_end").unwrap().address();
        assert_eq!((start, end), (section.address(), section.address() + section.size()), "{name}");
        assert!(
            start % PAGE == 0 && end % PAGE == 0 && start < end,
            "{name}: {start:#x}..{end:#x}"
        );
        assert_eq!(
            shared(&elf).keys().collect::<Vec<_>>(),
            variables.iter().collect::<Vec<_>>(),
            "{name}"
        );
        for other in elf.sections().filter(|s| s.address() != 0 && s.name() != Ok(".shared")) {
            assert!(
                other.address() >= end || other.address() + other.size() <= start,
                "{name}: {:?}",
                other.name()
            );
        }
    }
}

#[test]
fn private_areas_cost_no_room_in_the_file() {
    for guest in catalogue() {
        let elf = parse(guest);
        for section in [".percpu", ".stacks"] {
            let section = elf.section_by_name(section).unwrap();
            assert_eq!(section.kind(), SectionKind::UninitializedData, "{}", guest.name);
            assert_eq!(section.address() % PAGE, 0, "{}", guest.name);
        }
        // There is one page for each CPU.
        assert_eq!(elf.section_by_name(".percpu").unwrap().size(), u64::from(MAX_CPUS) * PAGE);
    }
}

#[test]
fn twins_have_the_same_layout() {
    for guest in catalogue() {
        let Some(bug) = &guest.bug else { continue };
        let (buggy, fixed) = (parse(guest), parse(find(bug.fixed_twin).unwrap()));
        assert_eq!(layout(&buggy), layout(&fixed), "{}", guest.name);
        assert_eq!(shared(&buggy), shared(&fixed), "{}", guest.name);
    }
}

#[test]
fn images_are_aligned_and_say_nothing_about_the_machine_that_built_them() {
    let here = env!("CARGO_MANIFEST_DIR").as_bytes();
    for guest in catalogue() {
        assert_eq!(guest.image.as_ptr().addr() as u64 % PAGE, 0, "{}", guest.name);
        assert!(!guest.image.windows(here.len()).any(|bytes| bytes == here), "{}", guest.name);
    }
}
