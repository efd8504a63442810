//! The claim: a file that can't be booted is refused, with what is wrong with it and what would be
//! right, before anything runs.

use crate::harness::{Finished, jitterbug};
use crate::image::{self, Image};
use crate::scratch::ScratchFile;

tests! {
    Kvm: not_elf, an_old_bzimage, a_compressed_file, a_program, initrds, an_empty_segment, empty, a_directory, no_such_guest, truncated, truncated_kernel, no_note,
        another_machine, a_32_bit_file, too_low, larger_than_memory, the_advised_memory_is_enough,
        damaged_bytes_never_break_the_program;
}

fn refused(file: &ScratchFile) -> Finished {
    refused_file(file.to_str().expect("UTF-8"))
}

fn refused_file(path: &str) -> Finished {
    jitterbug("run").arg(path).ends_with(2).shows("").says(&[path])
}

fn not_elf() {
    refused(&ScratchFile::new("script", "#!/bin/sh\n"))
        .says(&["neither an ELF file", "nor a bzImage"]);
}

/// A 32-bit kernel: its header says nothing of a 64-bit entry point.
fn an_old_bzimage() {
    let mut file = vec![0; 0x400];
    file[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
    file[0x202..0x206].copy_from_slice(b"HdrS");
    refused(&ScratchFile::new("vmlinuz", file))
        .says(&["a bzImage without a 64-bit entry point", "Linux 3.8 or later"]);
}

fn a_compressed_file() {
    refused(&ScratchFile::new("vmlinux.gz", b"\x1f\x8b\x08")).says(&["a compressed file"]);
}

fn a_program() {
    refused_file("/bin/sh").says(&["/bin/sh: ", "a program of an operating system"]);
}

fn initrds() {
    let missing = "run hello --initrd no-such-initrd";
    jitterbug(missing).ends_with(2).shows("").says(&["--initrd no-such-initrd: can't be read"]);
    let empty = ScratchFile::new("empty-initrd", "");
    let run = jitterbug("run hello --initrd").arg(&*empty).ends_with(2);
    run.shows("").says(&["empty-initrd: an empty file"]);
    let large = ScratchFile::new("large-initrd", vec![1; 3 << 20]);
    let run = jitterbug("run hello --mem 6M --initrd").arg(&*large).ends_with(2);
    run.shows("").says(&["an initrd of 3145728 bytes", "--mem "]);
}

/// The image has a segment of size 0 at address 0, which needs no memory, and then faults as
/// intended.
fn an_empty_segment() {
    let image = include_bytes!("../../vmm/testdata/empty-segment-at-0.elf");
    jitterbug("run")
        .arg(&*ScratchFile::new("empty-segment.elf", image))
        .ends_with(1)
        .says(&["triple fault"]);
}

fn empty() {
    refused(&ScratchFile::new("empty", "")).says(&["neither an ELF file"]);
}

fn a_directory() {
    jitterbug("run /tmp").ends_with(2).shows("").says(&["/tmp: ", "Is a directory"]);
}

fn no_such_guest() {
    jitterbug("run no-such-guest")
        .ends_with(2)
        .shows("")
        .says(&["no-such-guest", "`jitterbug guests`"]);
}

fn truncated() {
    let whole = image::exit(0).bytes();
    for length in [4, 5, 20, 63, 64, 100, 120, 175, 180, image::HEADERS, whole.len() - 1] {
        refused(&ScratchFile::new("cut.elf", &whole[..length]))
            .says(&["truncated", &format!("{length}")]);
    }
}

fn truncated_kernel() {
    let whole = image::guest("tsc-sync");
    for length in [64, 1000, 0x1000, image::loaded_end(whole) - 1] {
        refused(&ScratchFile::new("cut.elf", &whole[..length])).says(&["truncated"]);
    }
}

/// The code is the same in 32 and in 64 bits. Without the note it starts in 64-bit mode.
fn no_note() {
    jitterbug("run").image(&Image { has_note: false, ..image::exit(0) }).ends_with(0);
}

fn another_machine() {
    const AARCH64: u8 = 183;
    refused(&Image { machine: AARCH64, ..image::exit(0) }.file())
        .says(&["another machine", "x86-64"]);
}

fn a_32_bit_file() {
    refused(&Image { class: 1, ..image::exit(0) }.file()).says(&["32-bit", "ELF64"]);
}

fn too_low() {
    refused(&Image { address: 0x8000, ..image::exit(0) }.file()).says(&["0x8000", "first MiB"]);
}

fn larger_than_memory() {
    refused(&Image { size: 200 << 20, ..image::exit(0) }.file())
        .says(&["larger than memory", "give --mem 201M or more"]);
    refused(&Image { address: u64::MAX - 8, ..image::exit(0) }.file()).says(&["0xfff"]);
}

/// Following the advice of the message works.
fn the_advised_memory_is_enough() {
    let run = jitterbug("run hello --mem 2M").ends_with(2).shows("").says(&["larger than memory"]);
    let advice = run.stderr.split_once("--mem ").map(|(_, rest)| rest);
    let size = advice.and_then(|rest| rest.split_whitespace().next()).expect("a size");
    jitterbug("run hello --mem").arg(size).ends_with(0);
}

/// A damaged image is refused, runs, or fails, but always in order.
fn damaged_bytes_never_break_the_program() {
    let whole = image::exit(0).bytes();
    for (at, value) in (4..image::HEADERS).flat_map(|at| [(at, 0x7f), (at, 0xff)]).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] = value;
        let file = ScratchFile::new("damaged.elf", damaged);
        jitterbug("run --watchdog 200ms --mem 16M").arg(&*file).start().ends_with_any(&[0, 1, 2]);
    }
}
