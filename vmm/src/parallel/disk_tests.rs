//! A guest's driver on real disks.

use std::fs;
use std::io::sink;
use std::path::Path;

use iced_x86::code_asm::*;
use virtio_bindings::virtio_mmio::*;

use super::*;
use crate::controlled::test_guest::{Assembled, Guest, LAPIC, end};
use crate::disk::DiskConfig;
use crate::end::End;
use crate::kvm::{Host, host};
use crate::machine::Machine;
use crate::parallel::{Options, Outcome, run};

const DEVICE: u32 = 0xd000_0000;
const IOAPIC: u32 = 0xfec0_0000;
const VECTOR: u8 = 0x31;
/// The queue's parts, the requests' headers, their status bytes, and their data.
const DESCRIPTORS: u32 = 0x14_0000;
const AVAILABLE: u32 = 0x14_1000;
const USED: u32 = 0x14_2000;
const HEADERS: u32 = 0x14_3000;
const STATUS: u32 = 0x14_4000;
const DATA: u32 = 0x14_5000;
/// How often the device has interrupted.
const INTERRUPTS: u32 = 0x14_6000;
/// The code with which the guest ends if a status is not 0, without the status.
const FAILED: u32 = 0x40;

/// Reads from, writes to, and flushes a disk: type, sector, whether the device writes the data.
const REQUESTS: [(u32, u64, Option<bool>); 3] =
    [(0, 1, Some(true)), (1, 2, Some(false)), (4, 0, None)];

/// A guest that reads sector 1, writes its contents to sector 2, and flushes. It sleeps until the
/// device interrupts.
fn guest() -> Guest {
    let mut descriptors = Vec::new();
    let mut heads = Vec::new();
    let mut headers = Vec::new();
    for (number, (kind, sector, data)) in (0u32..).zip(REQUESTS) {
        heads.push((descriptors.len() / 16) as u16);
        headers.extend([u64::from(kind), sector].map(u64::to_le_bytes).concat());
        let header = (HEADERS + 16 * number, 16, 1);
        let data = data.map(|writes| (DATA, 512, if writes { 3 } else { 1 }));
        let status = (STATUS + number, 1, 2);
        for (address, length, flags) in [Some(header), data, Some(status)].into_iter().flatten() {
            let next = descriptors.len() as u16 / 16 + 1;
            descriptors.extend(u64::from(address).to_le_bytes());
            descriptors.extend(u32::to_le_bytes(length));
            descriptors.extend(u16::to_le_bytes(flags));
            descriptors.extend(next.to_le_bytes());
        }
    }
    let heads: Vec<u8> = heads.iter().flat_map(|head| head.to_le_bytes()).collect();
    Guest::new(drive)
        .with(DESCRIPTORS.into(), &descriptors)
        .with(u64::from(AVAILABLE) + 4, &heads)
        .with(HEADERS.into(), &headers)
        .with(STATUS.into(), &[0xee; REQUESTS.len()])
        .handle(VECTOR, |a| {
            a.push(rax)?;
            a.push(rbx)?;
            a.mov(ebx, DEVICE + VIRTIO_MMIO_INTERRUPT_STATUS)?;
            a.mov(eax, dword_ptr(rbx))?;
            a.mov(dword_ptr(rbx + 4), eax)?;
            a.inc(dword_ptr(u64::from(INTERRUPTS)))?;
            a.mov(ebx, LAPIC as u32 + 0xb0)?;
            a.mov(dword_ptr(rbx), 0)?;
            a.pop(rbx)?;
            a.pop(rax)?;
            a.iretq()
        })
}

fn put(a: &mut CodeAssembler, address: u32, value: u32) -> Assembled {
    a.mov(ebx, address)?;
    a.mov(eax, value)?;
    a.mov(dword_ptr(rbx), eax)
}

fn drive(a: &mut CodeAssembler) -> Assembled {
    put(a, LAPIC as u32 + 0xf0, 0x1ff)?;
    for (register, value) in [(0x31, 0), (0x30, u32::from(VECTOR))] {
        put(a, IOAPIC, register)?;
        put(a, IOAPIC + 0x10, value)?;
    }
    for (register, value) in [
        (VIRTIO_MMIO_STATUS, 0),
        (VIRTIO_MMIO_STATUS, 1),
        (VIRTIO_MMIO_STATUS, 3),
        (VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0),
        (VIRTIO_MMIO_DRIVER_FEATURES, 1 << 9),
        (VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1),
        (VIRTIO_MMIO_DRIVER_FEATURES, 1),
        (VIRTIO_MMIO_STATUS, 0xb),
        (VIRTIO_MMIO_QUEUE_SEL, 0),
        (VIRTIO_MMIO_QUEUE_NUM, 8),
        (VIRTIO_MMIO_QUEUE_DESC_LOW, DESCRIPTORS),
        (VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAILABLE),
        (VIRTIO_MMIO_QUEUE_USED_LOW, USED),
        (VIRTIO_MMIO_QUEUE_READY, 1),
        (VIRTIO_MMIO_STATUS, 0xf),
    ] {
        put(a, DEVICE + register, value)?;
    }
    for number in 0..REQUESTS.len() as u32 {
        a.mov(word_ptr(u64::from(AVAILABLE) + 2), number + 1)?;
        put(a, DEVICE + VIRTIO_MMIO_QUEUE_NOTIFY, 0)?;
        let (mut wait, mut done, mut fine) = (a.create_label(), a.create_label(), a.create_label());
        a.set_label(&mut wait)?;
        a.cli()?;
        a.cmp(dword_ptr(u64::from(INTERRUPTS)), number as i32)?;
        a.ja(done)?;
        a.sti()?;
        a.hlt()?;
        a.jmp(wait)?;
        a.set_label(&mut done)?;
        a.movzx(eax, byte_ptr(u64::from(STATUS + number)))?;
        a.test(eax, eax)?;
        a.jz(fine)?;
        a.add(eax, FAILED as i32)?;
        a.out(0xf4, eax)?;
        a.set_label(&mut fine)?;
        a.nop()?;
    }
    end(a, 0)
}

fn machine(disk: &str) -> Machine {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let mut config = guest().config();
    config.disks = vec![disk.parse().unwrap()];
    Machine::new(&host, &config, Box::new(sink())).unwrap()
}

fn outcome(machine: Machine, timeout: Duration) -> Outcome {
    let options = Options { timeout: Some(timeout), ..Options::default() };
    run(machine, &[], options).unwrap()
}

fn disk_contents() -> Vec<u8> {
    (0..4u8).flat_map(|sector| [sector + 1; 512]).collect()
}

fn disk_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), disk_contents()).unwrap();
    file
}

#[test]
fn a_guest_reads_writes_and_flushes() {
    let file = disk_file();
    for (mode, code, written) in
        [("", 0, true), (",read-only", FAILED + 1, false), (",copy-on-write", 0, false)]
    {
        let before = fs::read(file.path()).unwrap();
        let machine = machine(&format!("{}{mode}", file.path().display()));
        let end = outcome(machine, Duration::from_mins(1)).end;
        assert!(matches!(end, End::Guest { code: its } if its == code), "{mode}: {end:?}");
        let mut expected = before;
        if written {
            expected[1024..1536].fill(2);
        }
        assert_eq!(fs::read(file.path()).unwrap(), expected, "{mode}");
        // The run has unlocked the file.
        let disk: DiskConfig = file.path().to_str().unwrap().parse().unwrap();
        crate::disk::OpenDisk::open(&disk).unwrap();
        fs::write(file.path(), disk_contents()).unwrap();
    }
}

/// A file that fails, or that takes its time.
struct Broken(Duration);

impl Storage for Broken {
    fn read(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
        thread::sleep(self.0);
        Err(io::ErrorKind::StorageFull.into())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(time: Duration) -> Machine {
    let file = disk_file();
    let mut machine = machine(file.path().to_str().unwrap());
    machine.served.disks[0].storage = Box::new(Broken(time));
    machine
}

#[test]
fn an_error_of_the_host_reaches_the_guest() {
    let end = outcome(broken(Duration::ZERO), Duration::from_mins(1)).end;
    assert!(matches!(end, End::Guest { code } if code == FAILED + 1), "{end:?}");
}

#[test]
fn a_run_ends_in_time_whatever_the_disk_does() {
    let machine = broken(Duration::from_secs(20));
    let start = Instant::now();
    let outcome = outcome(machine, Duration::from_millis(500));
    assert!(matches!(outcome.end, End::TimeLimit), "{:?}", outcome.end);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_guest_that_waits_for_its_disk_does_not_hang() {
    let watchdog = Some(Duration::from_millis(300));
    let options = Options { watchdog, ..Options::default() };
    let end = run(broken(Duration::from_secs(2)), &[], options).unwrap().end;
    assert!(matches!(end, End::Guest { code } if code == FAILED + 1), "{end:?}");
}
