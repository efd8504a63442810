//! The claim: the script of 2012, byte for byte, prints the stacks of an unmodified, stripped Linux
//! kernel with KASLR, and each name in them is what the kernel itself calls that address.
//!
//! The guest writes its `/proc/kallsyms` to a disk, and the test compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::harness::Finished;
use crate::linux::shell;
use crate::scratch::Folder;

tests! {
    Linux: the_script_of_2012_names_the_functions_of_linux, a_stack_is_the_one_that_linux_prints,
        a_script_knows_the_process, a_stack_goes_through_modules;
}

pub(crate) const SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../probes/scripts/one-good-probe.vp");

/// A frame that was printed: its address, and `name+0x12`, in a module `name+0x12 [module]`, or the
/// address if it has no name.
pub(crate) type Frame = (u64, String);

/// The stacks in the lines of the script of 2012, innermost frame first, with the vCPU.
pub(crate) fn stacks(run: &Finished) -> Vec<(u32, Vec<Frame>)> {
    let mut stacks = Vec::new();
    let mut lines = run.stderr.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("CPUD: ") else { continue };
        let (vcpu, text) = rest.split_once(" Stack: GUEST_").unwrap_or_else(|| panic!("{line}"));
        // A long stack is cut.
        let text = text.strip_suffix("_...").unwrap_or(text);
        let address = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16);
        let addresses = text.split('_').map(|word| address(word).expect("an address"));
        // Before the kernel is found there are no names.
        let Some(names) = lines.next().and_then(|line| line.strip_prefix("    ")) else { continue };
        let names = names.trim_end_matches(" < ...").split(" < ").map(str::to_owned);
        let frames: Vec<Frame> = addresses.zip(names).collect();
        stacks.push((vcpu.parse().expect("a vCPU"), frames));
    }
    stacks
}

/// The code in the guest's own list: for each address, the names, with `[module]` behind them.
pub(crate) fn kallsyms(text: &str) -> BTreeMap<u64, BTreeSet<String>> {
    let mut symbols = BTreeMap::<u64, BTreeSet<String>>::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [address, "t" | "T" | "w" | "W", name @ ..] = &words[..] {
            let address = u64::from_str_radix(address, 16).expect("an address");
            symbols.entry(address).or_default().insert(name.join(" "));
        }
    }
    symbols
}

/// Checks that each frame has the name that the guest's list gives for it.
pub(crate) fn agree(
    stacks: &[(u32, Vec<Frame>)],
    symbols: &BTreeMap<u64, BTreeSet<String>>,
) -> usize {
    let mut named = 0;
    for (address, name) in stacks.iter().flat_map(|(_, frames)| frames) {
        let (place, module) = match name.split_once(' ') {
            Some((place, module)) => (place, format!(" {module}")),
            None => (name.as_str(), String::new()),
        };
        let Some((function, offset)) = place.rsplit_once("+0x") else {
            assert_eq!(*name, format!("{address:#x}"));
            // A program, or code that the kernel has generated.
            let of_kernel = |names: &BTreeSet<String>| names.iter().any(|name| !name.contains(' '));
            let mut own = symbols.iter().filter(|(_, names)| of_kernel(names)).map(|(at, _)| *at);
            let (start, end) = (own.next().expect("symbols"), own.next_back().expect("symbols"));
            assert!(!(start..end).contains(address), "{address:#x} has no name");
            continue;
        };
        let name = &format!("{function}{module}");
        // The code of a module's start is freed behind it, and is in no list that comes later.
        let is_listed = || symbols.values().any(|names| names.contains(name));
        if !module.is_empty() && function.ends_with("_init") && !is_listed() {
            continue;
        }
        let offset = u64::from_str_radix(offset, 16).expect("an offset");
        let start = address - offset;
        let names = symbols.get(&start).unwrap_or_else(|| panic!("nothing at {start:#x}: {name}"));
        assert!(names.contains(name), "{start:#x} is {names:?}, not {name}");
        // No other function begins in between. A return address may be behind its function.
        let between = start + 1..*address;
        if offset > 1 {
            assert_eq!(symbols.range(between).next(), None, "{name}+{offset:#x}");
        }
        named += 1;
    }
    named
}

/// The functions of a stack.
fn functions(frames: &[Frame]) -> Vec<&str> {
    let function = |(_, name): &'_ Frame| name.rsplit_once("+0x").map_or(0, |(name, _)| name.len());
    frames.iter().map(|frame| &frame.1[..function(frame)]).collect()
}

fn the_script_of_2012_names_the_functions_of_linux() {
    let folder = Folder::new();
    let disk = folder.file("symbols.img", vec![0; 16 << 20]);
    let commands = "busybox echo 0 >/proc/sys/kernel/kptr_restrict\n\
         busybox cat /proc/kallsyms >/dev/vda; busybox sync\n\
         busybox sleep 5\n\
         busybox dd if=/dev/zero of=/dev/null bs=1M count=500\n\
         busybox poweroff -f\n";
    let run = shell(2, "quiet", commands).arg("--disk").arg(&disk).arg("--probe").arg(SCRIPT);
    let run = run.ends_with(0).says(&["the guest powered the machine off"]);

    let written = fs::read(&disk).expect("the disk");
    let end = written.iter().position(|byte| *byte == 0).expect("the end of the list");
    let symbols = kallsyms(&String::from_utf8_lossy(&written[..end]));
    assert!(symbols.len() > 10_000, "{} symbols", symbols.len());
    let stacks = stacks(&run);
    let named = agree(&stacks, &symbols);
    assert!(named > 100, "{named} frames with names: {run}");

    // Idle: from the halt to the first function of each vCPU.
    for (vcpu, first) in [(0, "start_kernel"), (1, "start_secondary")] {
        let is_idle = |(of, frames): &&(u32, Vec<Frame>)| {
            let names = functions(frames);
            let has = |name: &str| names.contains(&name);
            let outermost =
                names.last().is_some_and(|name| name.starts_with("secondary_startup_64"));
            *of == vcpu && outermost && has("do_idle") && has("cpu_startup_entry") && has(first)
        };
        assert!(stacks.iter().any(|stack| is_idle(&stack)), "vCPU {vcpu}: {run}");
    }
    // Busy: from a read of /dev/zero to the system call.
    let is_read = |(_, frames): &&(u32, Vec<Frame>)| {
        let names = functions(frames);
        let tail = ["read_zero", "vfs_read", "ksys_read", "do_syscall_64"];
        let system_call = names.strip_suffix(&["entry_SYSCALL_64_after_hwframe"]);
        system_call.is_some_and(|names| names.ends_with(&tail))
    };
    assert!(stacks.iter().any(|stack| is_read(&stack)), "{run}");
}

/// Sysrq's `l` makes Linux print the stack of the vCPU that has asked for it, to the serial
/// console. This takes long enough for a script to see the same stack from outside.
fn a_stack_is_the_one_that_linux_prints() {
    let commands =
        format!("{}busybox poweroff -f\n", "busybox echo l >/proc/sysrq-trigger\n".repeat(8));
    let code = "VMM10Hz { string s; gueststack(s); printf(\"CPUD: %d Stack: %s\\n\", VCPUID, s); }";
    let run = shell(1, "loglevel=7", &commands).probe(code).ends_with(0);
    // The kernel writes `name+0x12/0x34`, and ` ? ` before what it has only found on the stack.
    let console = run.stdout.replace('\r', "");
    let printed = |line: &str| {
        let line = line.strip_prefix('[').and_then(|line| line.split_once("]  "))?.1;
        let (place, size) = line.split_once("/0x")?;
        let is_size = size.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_size && !place.contains(' ')).then(|| place.to_owned())
    };
    let own: Vec<String> = console
        .lines()
        .skip_while(|line| !line.contains("Call Trace:"))
        .take_while(|line| !line.contains("</TASK>"))
        .filter_map(printed)
        .collect();
    let start = own.iter().position(|place| place.starts_with("nmi_cpu_backtrace"));
    let own = &own[start.unwrap_or_else(|| panic!("no call trace: {run}"))..];
    assert!(own.len() >= 8, "{own:?}");
    assert!(own[own.len() - 1].starts_with("entry_SYSCALL_64_after_hwframe+"), "{own:?}");
    // The text of a script's stack has room for about 13 frames, of which most print.
    let is_same = |(_, frames): &(u32, Vec<Frame>)| {
        let outer: Vec<&String> =
            frames.iter().map(|(_, name)| name).skip_while(|name| **name != own[0]).collect();
        outer.len() >= 3 && outer.into_iter().zip(own).all(|(ours, its)| ours == its)
    };
    assert!(stacks(&run).iter().any(is_same), "{own:?}: {run}");
}

/// A script sees the process whose number the guest's shell prints, in the kernel and in the
/// program itself, and the idle tasks.
fn a_script_knows_the_process() {
    let commands = "busybox dd if=/dev/zero of=/dev/null bs=64k & busybox echo number $!.\n\
         busybox sleep 4\n\
         busybox poweroff -f\n";
    let vp = "(defstring name)(vprobe VMM10Hz (setstr name (curprocname))\n\
              (printf \"VP %d %d %s\\n\" VCPUID (curpid) name))";
    let emmett = "VMM10Hz printf(\"EM %d %d %s %d\\n\", VCPUID, curpid(), curprocname(), \
                  curtask() >> 63);";
    let run = shell(2, "quiet", commands).probe(vp).probe(emmett).ends_with(0);
    let console = run.stdout.replace('\r', "");
    let number = console.lines().find_map(|line| line.strip_prefix("number ")?.strip_suffix('.'));
    let number = number.unwrap_or_else(|| panic!("{run}"));
    let has = |line: &str| run.stderr.lines().any(|printed| printed == line);
    for vcpu in 0..2 {
        assert!(has(&format!("EM {vcpu} 0 swapper/{vcpu} 1")), "{run}");
        assert!(has(&format!("VP {vcpu} 0 swapper/{vcpu}")), "{run}");
    }
    let ran = |vcpu: u32| {
        has(&format!("EM {vcpu} {number} busybox 1")) && has(&format!("VP {vcpu} {number} busybox"))
    };
    assert!(ran(0) || ran(1), "process {number}: {run}");
}

/// A vCPU that tells its disk of a request is in a module. The names of its functions are those
/// in the guest's own list, and the kernel's own frames follow.
fn a_stack_goes_through_modules() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", vec![0; 16 << 20]);
    let commands = "busybox echo 0 >/proc/sys/kernel/kptr_restrict\n\
         busybox cat /proc/kallsyms >/dev/vda; busybox sync; busybox poweroff -f\n";
    let code = "HV_Exit / RIP >= 0xffffffffc0000000 / \
                { string s; gueststack(s); printf(\"CPUD: %d Stack: %s\\n\", VCPUID, s); }";
    let run = shell(1, "quiet", commands).arg("--disk").arg(&disk).probe(code).ends_with(0);
    let written = fs::read(&disk).expect("the disk");
    let end = written.iter().position(|byte| *byte == 0).expect("the end of the list");
    let symbols = kallsyms(&String::from_utf8_lossy(&written[..end]));
    let stacks = stacks(&run);
    agree(&stacks, &symbols);
    let is_whole = |(_, frames): &(u32, Vec<Frame>)| {
        let in_module = |(_, name): &&Frame| name.ends_with(']');
        let modules = frames.iter().take_while(in_module).count();
        let names = functions(frames);
        let of = |module: &str| frames.iter().any(|(_, name)| name.ends_with(module));
        of(" [virtio_mmio]")
            && of(" [virtio_blk]")
            && names[modules..].iter().any(|name| name.starts_with("blk_mq_"))
    };
    assert!(stacks.iter().any(is_whole), "{run}");
}
