//! Reads what strace has recorded (`tests/calls`), and names each entry of the filters of system
//! calls that no confined thread used. Its status is 1 if there is one, or if nothing was recorded.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::{env, fs};

use vmm::kvm::seccomp::calls::{self, Allowed, Filter};

/// The call that confines a thread.
const CONFINES: &str = "seccomp(0x1, ";
/// The request that is not recorded: there are too many.
const KVM_RUN: &str = "KVM_RUN";

/// A call that was made: whether by the thread of a vCPU, its name, and the first two arguments, if
/// they are numbers.
type Made = (bool, String, [Option<u64>; 2]);

fn main() -> ExitCode {
    let folder = env::args_os().nth(1).expect("the folder with what strace has recorded");
    let mut made = BTreeSet::new();
    let mut processes = 0;
    for file in fs::read_dir(folder).expect("a folder").flatten() {
        let record = fs::read(file.path()).expect("a file");
        processes += u32::from(read(&String::from_utf8_lossy(&record), &mut made));
    }
    let mut unused = 0;
    for filter in [Filter::All, Filter::Vcpu] {
        let entries = calls::of(filter);
        let is_unused = |entry: &&Allowed| {
            let is_counted = entry.rare.is_none() && entry.request != Some(KVM_RUN);
            is_counted && !made.iter().any(|made| is_use(entry, filter, made))
        };
        for entry in entries.iter().filter(is_unused) {
            unused += 1;
            let (name, request) = (entry.call.name(), entry.request.unwrap_or_default());
            println!("{filter:?}: {name} {request} {:x?}: no test used it", entry.argument);
        }
    }
    println!(
        "{processes} confined processes, {} different calls, {unused} unused entries",
        made.len()
    );
    ExitCode::from(u8::from(unused > 0 || processes == 0))
}

/// Adds the calls of a process to those that were made after it was confined. Returns whether it
/// was.
fn read(record: &str, made: &mut BTreeSet<Made>) -> bool {
    let mut is_confined = false;
    for line in record.lines() {
        let Some((thread, call)) = line.split_once('<').and_then(|(_, rest)| rest.split_once("> "))
        else {
            continue;
        };
        let call = call.trim_start();
        let Some((name, arguments)) = call.split_once('(') else { continue };
        // The first filter answers one call; the second is the list.
        if is_confined {
            let mut numbers = arguments.split([',', ')']).map(|text| number(text.trim()));
            let numbers = [0, 1].map(|_| numbers.next().flatten());
            made.insert((thread.starts_with("vcpu"), name.to_owned(), numbers));
        }
        is_confined |= call.starts_with(CONFINES);
    }
    is_confined
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Whether a call that was made uses an entry. Of the arguments, only those are compared that tell
/// one entry from another.
fn is_use(entry: &Allowed, filter: Filter, (is_vcpu, name, numbers): &Made) -> bool {
    // What vCPUs' threads do has to pass both filters.
    if entry.call.name() != name || (filter == Filter::Vcpu && !is_vcpu) {
        return false;
    }
    match (name.as_str(), entry.argument) {
        ("ioctl" | "prctl", Some(argument)) => {
            numbers[usize::from(argument.index)] == Some(argument.value)
        }
        _ => true,
    }
}
