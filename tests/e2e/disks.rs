//! The claim: a disk that can't be used is refused before anything runs, with its file's name and
//! what would be right; and so is one where there can be none. What a guest flushed is in the file,
//! whatever becomes of the program.

use std::fs::{self, File};

use iced_x86::IcedError;
use iced_x86::code_asm::registers::gpr8::al;
use iced_x86::code_asm::registers::gpr16::{ax, dx};
use iced_x86::code_asm::{CodeAssembler, byte_ptr, dword_ptr, word_ptr};

use nix::sys::signal::Signal;

use crate::harness::jitterbug;
use crate::image::{self, Image, end_run};
use crate::scratch::Folder;

tests! {
    Nothing: wrong_values, not_with_a_search_under_control;
    Kvm: a_missing_file, a_file_that_is_read_is_not_written, an_odd_size, too_many, used_twice, a_disk_does_no_harm,
        what_was_flushed_survives_kill_9, a_deleted_disk_is_reported;
    Bed: a_written_disk_comes_out;
}

pub(crate) const DISK: [u8; 4096] = [7; 4096];

fn wrong_values() {
    for (value, hint) in [("d.img,ro", "read-only"), ("d.img,", "copy-on-write"), (",x", "mode")] {
        let refused = jitterbug("run hello --disk").arg(value).ends_with(2).shows("");
        refused.says(&["--disk", value, hint]);
    }
}

fn not_with_a_search_under_control() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    for command in ["hunt hello", "run hello --explain"] {
        let refused = jitterbug(command).arg("--disk").arg(&disk).ends_with(2).shows("");
        refused.says(&["--disk ", "disk.img", "memory unseen", "`run` without --explain"]);
        let refused = jitterbug(command).arg("--rng").ends_with(2).shows("");
        refused.says(&["--rng ", "memory unseen"]);
    }
}

fn a_missing_file() {
    let folder = Folder::new();
    let run = jitterbug("run hello --disk").arg(folder.join("none.img")).ends_with(2).shows("");
    run.says(&["--disk ", "none.img: No such file", "`truncate --size=64M FILE`"]);
    let run = jitterbug("run hello --disk").arg(&*folder).ends_with(2).shows("");
    run.says(&["--disk ", "a disk is a file with the disk's bytes"]);
}

/// A trace must not replace what the run reads.
fn a_file_that_is_read_is_not_written() {
    let folder = Folder::new();
    let (disk, initrd) = (folder.file("disk.img", DISK), folder.file("initrd", DISK));
    let kernel = image::exit(0).file();
    for file in [&disk, &initrd, &kernel.to_path_buf()] {
        let before = fs::read(file).expect("the file");
        let run = jitterbug("run").arg(&*kernel).arg("--disk").arg(&disk).arg("--initrd");
        let run = run.arg(&initrd).arg("--trace").arg(file).ends_with(2).shows("");
        run.says(&["this command reads that file"]);
        assert_eq!(fs::read(file).expect("the file"), before);
    }
}

fn an_odd_size() {
    let folder = Folder::new();
    for (name, size) in [("empty.img", 0), ("odd.img", 1000)] {
        let file = folder.file(name, vec![0; size]);
        let run = jitterbug("run hello --disk").arg(file).ends_with(2).shows("");
        run.says(&["--disk ", name, &format!("{size} bytes long"), "whole sectors of 512 bytes"]);
    }
}

fn too_many() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    let value = format!("{},copy-on-write", disk.display());
    let mut run = jitterbug("run hello --rng");
    for _ in 0..8 {
        run = run.arg("--disk").arg(&value);
    }
    run.ends_with(2).shows("").says(&["disk.img", "one too many", "8 virtio devices", "--rng"]);
}

fn used_twice() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    // Twice by one machine, and by another process.
    let twice = jitterbug("run hello --disk").arg(&disk).arg("--disk").arg(&disk);
    twice.ends_with(2).shows("").says(&["--disk ", "disk.img", "in use by another disk"]);
    let other = File::open(&disk).expect("the disk");
    other.lock_shared().expect("a lock");
    let run = jitterbug("run hello --disk").arg(&disk).ends_with(2).shows("");
    run.says(&["--disk ", "disk.img", "in use"]);
    let value = format!("{},read-only", disk.display());
    jitterbug("run hello --disk").arg(value).ends_with(0);
}

/// A guest that knows no disk runs as ever, again and again.
fn a_disk_does_no_harm() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    jitterbug("run hello --cpus 2 --rng --repeat 3 --disk").arg(&disk).ends_with(0);
    assert_eq!(fs::read(&disk).expect("the disk"), DISK);
}

/// The registers of the first disk, and the guest's memory for the queue and the requests.
const DEVICE: u32 = 0xd000_0000;
const DESCRIPTORS: u32 = 0x20_0000;
const AVAILABLE: u32 = 0x20_1000;
const USED: u32 = 0x20_2000;
const HEADERS: u32 = 0x20_3000;
const STATUS: u32 = 0x20_4000;
/// The data: the sector is full of these.
const DATA: u32 = 0x20_5000;
const WRITTEN: u8 = 0x77;

/// A guest that writes the second sector of its disk, flushes, prints a line, and then ends the run
/// or goes on for ever.
pub(crate) fn writer(ends: bool) -> Image {
    Image::new(|a| {
        for (address, length, flags, next, at) in [
            (HEADERS, 16, 1, 1, 0),
            (DATA, 512, 1, 2, 1),
            (STATUS, 1, 2, 0, 2),
            (HEADERS + 16, 16, 1, 4, 3),
            (STATUS + 1, 1, 2, 0, 4),
        ] {
            let descriptor = DESCRIPTORS + 16 * at;
            put(a, descriptor, address)?;
            put(a, descriptor + 8, length)?;
            put(a, descriptor + 12, flags | next << 16)?;
        }
        // A write to sector 1, and a flush: the requests begin with descriptors 0 and 3.
        put(a, HEADERS, 1)?;
        put(a, HEADERS + 8, 1)?;
        put(a, HEADERS + 16, 4)?;
        put(a, AVAILABLE + 4, 3 << 16)?;
        put(a, STATUS, 0xeeee)?;
        for word in 0..128 {
            put(a, DATA + 4 * word, u32::from_le_bytes([WRITTEN; 4]))?;
        }
        for (register, value) in [
            (0x70, 3),           // Status: the driver is there
            (0x20, 1 << 9),      // DriverFeatures: flushes,
            (0x24, 1),           // of the second word
            (0x20, 1),           // the modern interface
            (0x70, 0xb),         // the features are agreed upon
            (0x38, 8),           // QueueNum
            (0x80, DESCRIPTORS), // where the queue is
            (0x90, AVAILABLE),
            (0xa0, USED),
            (0x44, 1),   // QueueReady
            (0x70, 0xf), // the driver is ready
        ] {
            put(a, DEVICE + register, value)?;
        }
        for number in [1, 2] {
            put(a, AVAILABLE, number << 16)?;
            put(a, DEVICE + 0x50, 0)?;
            let mut wait = a.create_label();
            a.set_label(&mut wait)?;
            a.cmp(word_ptr(USED + 2), number as i32)?;
            a.jne(wait)?;
        }
        let (mut fine, mut forever) = (a.create_label(), a.create_label());
        a.mov(ax, word_ptr(STATUS))?;
        a.test(ax, ax)?;
        a.jz(fine)?;
        end_run(a, 1)?;
        a.set_label(&mut fine)?;
        a.mov(dx, 0x3f8)?;
        for byte in b"flushed\n" {
            a.mov(al, u32::from(*byte))?;
            a.out(dx, al)?;
        }
        if ends {
            end_run(a, 0)?;
        }
        a.set_label(&mut forever)?;
        a.inc(byte_ptr(DATA))?;
        a.jmp(forever)
    })
}

fn put(a: &mut CodeAssembler, address: u32, value: u32) -> Result<(), IcedError> {
    a.mov(dword_ptr(address), value)
}

pub(crate) fn expected() -> Vec<u8> {
    let mut expected = DISK.to_vec();
    expected[512..1024].fill(WRITTEN);
    expected
}

fn what_was_flushed_survives_kill_9() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    let run = jitterbug("run --watchdog off --disk").arg(&disk).image(&writer(false)).start();
    run.prints("flushed");
    // This kills the program, and waits until it is gone.
    drop(run);
    assert_eq!(fs::read(&disk).expect("the disk"), expected());
    // Its lock is gone, too.
    jitterbug("run hello --disk").arg(&disk).ends_with(0);
}

fn a_deleted_disk_is_reported() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    let run = jitterbug("run --watchdog off --disk").arg(&disk).image(&writer(false)).start();
    run.prints("flushed");
    fs::remove_file(&disk).expect("the disk was there");
    run.signal(Signal::SIGINT);
    run.ends_with(130).says(&["disk.img: the file was deleted during the run"]);
}

fn a_written_disk_comes_out() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    let kept = folder.file("kept.img", DISK);
    let run = jitterbug("run --bed --disk").arg(&disk).arg("--disk");
    let run = run.arg(format!("{},copy-on-write", kept.display())).image(&writer(true));
    run.within(100).ends_with(0).shows("flushed\n");
    assert_eq!(fs::read(&disk).expect("the disk"), expected());
    assert_eq!(fs::read(&kept).expect("the other disk"), DISK);
}
