//! The claim: Linux finds its disks and its source of random numbers by ACPI, and what it has
//! flushed is in the disk's file, whatever becomes of jitterbug.

use std::fs;

use crate::linux::shell;
use crate::scratch::Folder;

tests! {
    Linux: what_linux_flushed_survives_kill_9;
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
