//! The MP table: how a guest without ACPI finds its processors and its interrupt lines (Intel
//! MultiProcessor Specification 1.4, chapter 4).

use super::layout;
use crate::error::Result;
use crate::memory::Memory;

/// The address of each LAPIC.
pub(super) const LAPIC: u32 = 0xfee0_0000;
/// The address of the IOAPIC.
pub(super) const IOAPIC: u32 = 0xfec0_0000;
/// The version that KVM's LAPIC reports.
const APIC_VERSION: u8 = 0x14;
const ISA_LINES: u8 = 16;

/// Entry types.
mod entry {
    pub(super) const PROCESSOR: u8 = 0;
    pub(super) const BUS: u8 = 1;
    pub(super) const IOAPIC: u8 = 2;
    pub(super) const IO_INTERRUPT: u8 = 3;
    pub(super) const LOCAL_INTERRUPT: u8 = 4;
}

/// Interrupt types.
const INT: u8 = 0;
const NMI: u8 = 1;
const EXT_INT: u8 = 3;

/// The IOAPIC's id in a machine with `vcpus` LAPICs, whose ids are their numbers: the next id, if
/// the four bits of the IOAPIC's id register can hold it. With more vCPUs all sixteen ids are
/// taken, and the IOAPIC gets 0, as firmware always sets it under QEMU and KVM: xAPICs never
/// address an IOAPIC by its id (only the APIC bus of processors before the Pentium 4 did), and
/// guests accept it.
pub(crate) fn ioapic_id(vcpus: u32) -> u8 {
    const LAST: u32 = 15;
    if vcpus <= LAST { vcpus as u8 } else { 0 }
}

/// Writes the table for `vcpus` processors, whose APIC ids are their numbers.
pub fn write(memory: &Memory, vcpus: u32) -> Result<()> {
    let table = table(vcpus as u8);
    let pointer = pointer(layout::MP_TABLE as u32 + 16);
    memory.write(layout::MP_TABLE, &pointer)?;
    memory.write(layout::MP_TABLE + 16, &table)
}

fn pointer(table: u32) -> Vec<u8> {
    let mut bytes = b"_MP_".to_vec();
    bytes.extend(table.to_le_bytes());
    bytes.extend([1, 4, 0, 0, 0, 0, 0, 0]); // 16 bytes, version 1.4, checksum, no default set-up
    set_checksum(&mut bytes, 10);
    bytes
}

fn table(vcpus: u8) -> Vec<u8> {
    let ioapic = ioapic_id(vcpus.into());
    let mut entries = Vec::new();
    for id in 0..vcpus {
        let flags = 1 | if id == 0 { 2 } else { 0 }; // enabled, bootstrap processor
        entries.extend([entry::PROCESSOR, id, APIC_VERSION, flags]);
        // Signature and features are informative; guests use CPUID.
        entries.extend([0x00, 0x06, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    entries.extend([entry::BUS, 0]);
    entries.extend(b"ISA   ");
    entries.extend([entry::IOAPIC, ioapic, 0x11, 1]);
    entries.extend(IOAPIC.to_le_bytes());
    for line in 0..ISA_LINES {
        // The PIT is on pin 2, which would be the cascade's, as on a PC and in KVM.
        let pin = if line == 0 { 2 } else { line };
        if line != 2 {
            // The two bytes after the type are polarity and trigger mode: those of ISA, an edge.
            entries.extend([entry::IO_INTERRUPT, INT, 0, 0, 0, line, ioapic, pin]);
        }
    }
    entries.extend([entry::LOCAL_INTERRUPT, EXT_INT, 0, 0, 0, 0, 0, 0]);
    entries.extend([entry::LOCAL_INTERRUPT, NMI, 0, 0, 0, 0, 0xff, 1]);
    let count = u16::from(vcpus) + 2 + u16::from(ISA_LINES - 1) + 2;

    let mut bytes = b"PCMP".to_vec();
    bytes.extend((44 + entries.len() as u16).to_le_bytes());
    bytes.extend([4, 0]); // version 1.4, checksum
    bytes.extend(b"JITTERBG");
    bytes.extend(b"JITTERBUG   ");
    bytes.extend([0; 6]); // no OEM table
    bytes.extend(count.to_le_bytes());
    bytes.extend(LAPIC.to_le_bytes());
    bytes.extend([0; 4]); // no extended entries
    bytes.extend(entries);
    set_checksum(&mut bytes, 7);
    bytes
}

/// Sets the byte at `at` so that all bytes of the structure add up to 0.
fn set_checksum(bytes: &mut [u8], at: usize) {
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = sum.wrapping_neg();
}

#[cfg(test)]
#[path = "mptable_tests.rs"]
mod tests;
