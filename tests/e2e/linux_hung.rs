//! The claim: where a module hangs one CPU of an unmodified Linux with interrupts off, the script
//! of 2012, `ctl stacks` and a dump show the CPU's stack with the module's functions, while the
//! kernel tells its own programs nothing of it; and at an NMI from outside, the kernel itself
//! prints the same stack.

use std::fs;
use std::path::Path;

use object::Endianness;
use object::elf::{FileHeader64, NT_PRSTATUS, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::ctl::{answer, start};
use crate::linux::shell;
use crate::linux_stacks::{Frame, SCRIPT, agree, kallsyms, stacks};
use crate::needs::named;
use crate::scratch::Folder;

tests! {
    LinuxWithModules: a_cpu_that_a_module_hangs_is_seen_from_outside;
}

/// The variable that names a folder in which the dump and the stack of CPU 1 are kept.
const KEPT: &str = "JITTERBUG_E2E_KEPT";

/// What runs on CPU 1, innermost function first.
const FUNCTIONS: [&str; 6] =
    ["hang_inner", "hang_middle", "hang_outer", "hang_thread", "kthread", "ret_from_fork"];

/// Neither the shell nor the console's interrupt may be on CPU 1. Linux could notice the hang by
/// itself, and print the stack after an NMI of its own (RCU's stall detector).
const LINE: &str = "console=ttyS0 unknown_nmi_panic isolcpus=1 irqaffinity=0 \
                    rcupdate.rcu_cpu_stall_suppress=1";

/// `/proc/PID/stack` is what Linux tells a program of another task's stack. From the hang on, the
/// shell starts no program, which could wait for CPU 1.
const COMMANDS: &str = r#"busybox mkdir -p /sys; busybox mount -t sysfs sysfs /sys
busybox echo 0 >/proc/sys/kernel/kptr_restrict
busybox insmod /modules/hang.ko
busybox grep -e '\[hang\]' -e ' kthread$' -e ' ret_from_fork$' /proc/kallsyms
read line </proc/2/stack; echo kth''readd: $line
echo 1 >/sys/module/hang/parameters/cpu
for task in /proc/[0-9]*; do read name <$task/comm; [ "$name" = hang ] && thread=$task; done
line=; read line <$thread/stack; echo its''elf: $thread [$line]
"#;

fn a_cpu_that_a_module_hangs_is_seen_from_outside() {
    let folder = Folder::new();
    let run = shell(4, LINE, COMMANDS).arg("--probe").arg(SCRIPT);
    let (running, socket) = start(&folder, run);
    running.prints("itself: /proc/");
    let told = answer(&socket, "stacks");
    let file = folder.join("core");
    answer(&socket, &format!("dump {}", file.display()));
    // The script prints once a second.
    let is_seen =
        |stderr: &str| stderr.lines().filter(|line| line.contains(" < hang_middle+")).count() >= 2;
    running.reports_that("the stack of CPU 1", is_seen);
    assert_eq!(answer(&socket, "nmi 1"), "NMI sent to vCPU 1\n");
    let run = running.ends_with(1).says(&["kernel panic: NMI: Not continuing"]);
    let console = run.stdout.replace('\r', "");

    // Linux tells a program the stack of a thread that sleeps, but not that of this one.
    assert!(console.contains("kthreadd: [<0>] kthreadd+0x"), "{console}");
    let itself = console.lines().find(|line| line.starts_with("itself: /proc/"));
    assert!(itself.is_some_and(|line| line.ends_with(" []")), "{console}");

    // The script: the names that the kernel's own list gives, and no frame too many.
    let listed = kallsyms(&console);
    let is_hung = |(vcpu, frames): &(u32, Vec<Frame>)| {
        *vcpu == 1 && frames.first().is_some_and(|(_, name)| name.starts_with("hang_inner+"))
    };
    let hung: Vec<_> = stacks(&run).into_iter().filter(is_hung).collect();
    assert!(hung.len() >= 2, "{run}");
    assert_eq!(agree(&hung, &listed), hung.len() * FUNCTIONS.len(), "{run}");
    for (_, frames) in &hung {
        assert!(is_stack(frames.iter().map(|(_, name)| name.as_str())), "{run}");
    }
    let (_, frames) = &hung[0];
    let names: Vec<&str> = frames.iter().map(|(_, name)| name.as_str()).collect();

    // `ctl stacks`, and the kernel's own stack at the NMI: also the same places in the functions,
    // except in the one that loops.
    let of_cpu_1 = told.lines().skip_while(|line| *line != "vCPU 1: in the guest").skip(1);
    let of_cpu_1: Vec<&str> = of_cpu_1.map_while(|line| line.strip_prefix("  ")).collect();
    assert!(is_stack(of_cpu_1.iter().copied()) && of_cpu_1[1..] == names[1..], "{told}");
    let own = printed(&console);
    assert!(is_stack(own.iter().map(String::as_str)) && own[1..] == names[1..], "{own:?}: {run}");

    holds(&file, frames);
    // For `tests/dump`.
    if let Some(kept) = named(KEPT) {
        fs::rename(&file, Path::new(&kept).join("core")).expect("it can be moved");
        let line = |(address, name): &Frame| format!("{address:#x} {name}\n");
        let text: String = frames.iter().map(line).collect();
        fs::write(Path::new(&kept).join("stack"), text).expect("the stack is written");
    }
}

/// Whether these are the frames of CPU 1, with `[hang]` behind those of the module.
fn is_stack<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let is_frame = |(name, function): (&str, &str)| {
        let place = name.strip_prefix(function).and_then(|rest| rest.strip_prefix("+0x"));
        place.is_some_and(|rest| rest.ends_with(" [hang]") == function.starts_with("hang_"))
    };
    let names: Vec<&str> = names.collect();
    names.len() == FUNCTIONS.len() && names.into_iter().zip(FUNCTIONS).all(is_frame)
}

/// The stack that Linux prints: that of the NMI, which ends with the place where it came, and the
/// task's, without what is only on its stack.
fn printed(console: &str) -> Vec<String> {
    let lines = console.lines().map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest));
    let trace: Vec<&str> = lines.skip_while(|line| !line.contains("Call Trace:")).collect();
    let place = |text: &str| {
        let (place, rest) = text.trim().split_once("/0x")?;
        let module = rest.split_once(' ').map_or(String::new(), |(_, module)| format!(" {module}"));
        (!place.contains(' ')).then(|| format!("{place}{module}"))
    };
    let at = trace.iter().find_map(|line| place(line.trim().strip_prefix("RIP: 0010:")?));
    let task = trace.iter().skip_while(|line| !line.contains("<TASK>"));
    let task = task.take_while(|line| !line.contains("</TASK>")).filter_map(|line| place(line));
    at.into_iter().chain(task).collect()
}

/// Checks that the dump has the registers of CPU 1 in the function that loops, and its return
/// addresses on its stack.
fn holds(file: &Path, frames: &[Frame]) {
    let dump = fs::read(file).expect("the dump");
    let header = FileHeader64::<Endianness>::parse(&*dump).expect("an ELF file");
    let endian = header.endian().expect("an order of bytes");
    let segments = header.program_headers(endian, &*dump).expect("segments");
    let mut registers = Vec::new();
    for segment in segments {
        let Some(mut notes) = segment.notes(endian, &*dump).expect("notes") else { continue };
        while let Some(note) = notes.next().expect("a note") {
            if note.name() == b"CORE" && note.n_type(endian) == NT_PRSTATUS {
                registers.push(note.desc().to_owned());
            }
        }
    }
    assert_eq!(registers.len(), 4);
    // `struct elf_prstatus`: the registers begin at 112; RIP is the 17th, RSP the 20th.
    let word = |bytes: &[u8], index: usize| {
        let bytes = bytes[8 * index..].first_chunk().copied().expect("a word");
        u64::from_le_bytes(bytes)
    };
    let (rip, rsp) = (word(&registers[1][112..], 16), word(&registers[1][112..], 19));
    assert!(rip.abs_diff(frames[0].0) < 0x20, "{rip:#x}: {frames:x?}");
    let holds = |segment: &&ProgramHeader64<Endianness>| {
        let start = segment.p_vaddr(endian);
        (start..start + segment.p_filesz(endian)).contains(&rsp)
    };
    let segment = segments.iter().find(holds).expect("the stack is mapped");
    let stack = segment.data(endian, &*dump).expect("the segment");
    let stack = &stack[(rsp - segment.p_vaddr(endian)) as usize..];
    let mut words = (0..stack.len().min(4096) / 8).map(|index| word(stack, index));
    for (address, name) in &frames[1..] {
        assert!(words.any(|word| word == *address), "{name} is not on the stack in its order");
    }
}
