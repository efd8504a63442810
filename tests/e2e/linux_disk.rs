//! The claim: Linux finds its disks and its source of random numbers by ACPI, and what it has
//! flushed is in the disk's file, whatever becomes of jitterbug.

use std::fs;

use crate::linux::shell;
use crate::scratch::Folder;

tests! {
    Linux: what_linux_flushed_survives_kill_9, linux_meets_faults_of_its_disk;
}

const SECTOR: usize = 512;

fn what_linux_flushed_survives_kill_9() {
    let folder = Folder::new();
    let (disk, kept) = (folder.file("disk.img", vec![1; 64 * SECTOR]), "kept.img");
    let read_only = folder.file(kept, vec![2; 8 * SECTOR]);
    // The shell echoes its input, so the texts that are waited for are not in it as they are.
    let commands = "cd /dev; busybox echo flushed by the guest | busybox dd of=vda seek=8 conv=sync\n\
         busybox sync; busybox dd if=vdb count=8 of=/dev/null && busybox echo re''ad\n\
         busybox head -c 8 hwrng | busybox od -An -tx1 && busybox echo ran''dom\n\
         busybox echo x | busybox dd of=vdb || busybox echo ref''used\nbusybox echo do''ne\n";
    let run = shell(1, "quiet", commands)
        .arg("--rng")
        .arg("--disk")
        .arg(&disk)
        .arg("--disk")
        .arg(format!("{},read-only", read_only.display()));
    let running = run.start();
    for text in ["read\r", "random\r", "refused\r", "done\r"] {
        running.prints(text);
    }
    // This kills the program, and waits until it is gone.
    drop(running);
    let written = fs::read(&disk).expect("the disk");
    assert_eq!(&written[8 * SECTOR..][..21], b"flushed by the guest\n");
    // `conv=sync` fills the sector with zeros. Its neighbours are as they were.
    assert_eq!(written[8 * SECTOR + 21..9 * SECTOR], [0; SECTOR - 21]);
    assert!(written[..8 * SECTOR].iter().chain(&written[9 * SECTOR..]).all(|byte| *byte == 1));
    assert_eq!(fs::read(&read_only).expect("the other disk"), [2; 8 * SECTOR]);
}

/// A read that fails is an I/O error for the program in the guest; a write that is torn is not, and
/// is not whole when it is read from the disk.
fn linux_meets_faults_of_its_disk() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", vec![0; 256 * SECTOR]);
    let commands = "cd /dev; busybox dd if=vda bs=512 skip=200 count=1 of=/dev/null || busybox echo un''readable\n\
         busybox tr '\\000' x </dev/zero | busybox dd of=vda bs=8192 count=1; busybox sync\n\
         busybox poweroff -f\n";
    let run = shell(1, "quiet", commands)
        .arg("--fault")
        .arg("disk-error:op=read,sector=200,times=1000")
        .arg("--fault")
        .arg("disk-torn:sector=0")
        .arg("--disk")
        .arg(&disk)
        .ends_with(0);
    let run = run.says(&[
        "fault disk-error:op=read,sector=200,times=1000: struck ",
        "fault disk-torn:sector=0: struck 1 of ",
    ]);
    assert!(run.stdout.contains("unreadable") && run.stdout.contains("I/O error"), "{run}");
    let written = fs::read(&disk).expect("the disk");
    let whole = written.iter().take_while(|byte| **byte == b'x').count();
    assert!(whole < 8192 && whole % SECTOR == 0, "{whole}");
}
