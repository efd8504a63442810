//! ACPI's tables: how a guest finds its processors, its interrupt lines, its devices, and the ports
//! that power it off (ACPI Specification 6.5, chapter 5).
//!
//! The machine is *hardware-reduced*: it has no fixed ACPI hardware, such as a power management
//! timer. The tables lie behind the root pointer, in the BIOS area.

mod dsdt;

use acpi_tables::fadt::{FADTBuilder, Flags, PmProfile};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, AmlSink};
use devices::power::{RESET_PORT, RESET_VALUE, SLEEP_CONTROL_PORT, SLEEP_STATUS_PORT};

use super::layout;
use super::mptable::{IOAPIC, LAPIC, ioapic_id};
use crate::error::Result;
use crate::memory::Memory;
use crate::virtio_slots::VirtioSlot;

/// The size of the root pointer.
pub(super) const RSDP_SIZE: usize = size_of::<Rsdp>();
/// The names in the header of each table.
const OEM: [u8; 6] = *b"JITTER";
const OEM_TABLE: [u8; 8] = *b"JITTERBG";
/// The size of a table's header.
const HEADER: u32 = 36;
/// The revision of the MADT in ACPI 6.5, and of a DSDT with 64-bit integers.
const MADT_REVISION: u8 = 6;
const DSDT_REVISION: u8 = 2;
/// `IAPC_BOOT_ARCH` (5.2.9.3): there is no VGA hardware.
const NO_VGA: u16 = 1 << 2;

/// Writes the tables for `vcpus` processors, whose APIC ids are their numbers, and these virtio
/// devices.
pub(super) fn write(memory: &Memory, vcpus: u32, virtio: &[VirtioSlot]) -> Result<()> {
    let mut tables = Tables { next: layout::RSDP + RSDP_SIZE as u64, bytes: Vec::new() };
    let dsdt = tables.add(&dsdt::table(virtio));
    let fadt = tables.add(&fadt(dsdt));
    let madt = tables.add(&madt(vcpus));
    let mut xsdt = XSDT::new(OEM, OEM_TABLE, 1);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = tables.add(&xsdt);
    let rsdp = bytes(&Rsdp::new(OEM, xsdt));
    memory.write(layout::RSDP, &rsdp)?;
    memory.write(layout::RSDP + RSDP_SIZE as u64, &tables.bytes)
}

/// The tables, one behind the other.
struct Tables {
    next: u64,
    bytes: Vec<u8>,
}

impl Tables {
    /// Adds a table, and returns its address.
    fn add(&mut self, table: &dyn Aml) -> u64 {
        let at = self.next;
        self.bytes.extend(bytes(table));
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.next = layout::RSDP + (RSDP_SIZE + self.bytes.len()) as u64;
        at
    }
}

/// What `acpi_tables` writes to.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl AmlSink for Bytes {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Bytes::default();
    table.to_aml_bytes(&mut bytes);
    bytes.0
}

/// The fixed table: where the DSDT is, and by which ports the machine is powered off and reset.
fn fadt(dsdt: u64) -> acpi_tables::fadt::FADT {
    let port =
        |port: u16| GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, u64::from(port));
    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, 1)
        .dsdt_64(dsdt)
        .preferred_pm_profile(PmProfile::EnterpriseServer)
        .flag(Flags::Wbinvd)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Headless)
        .flag(Flags::HwReducedAcpi);
    fadt.iapc_boot_arch = NO_VGA.into();
    fadt.reset_reg = port(RESET_PORT);
    fadt.reset_value = RESET_VALUE;
    fadt.sleep_control_reg = port(SLEEP_CONTROL_PORT);
    fadt.sleep_status_reg = port(SLEEP_STATUS_PORT);
    fadt.finalize()
}

/// The table of processors and interrupt lines, which says the same as the MP table.
fn madt(vcpus: u32) -> Sdt {
    /// The PIT's line 0 is on pin 2. The other lines of ISA are on the pins of their numbers.
    const OVERRIDE: [u8; 10] = [2, 10, 0, 0, 2, 0, 0, 0, 0, 0];
    /// Pin 1 of every LAPIC is for NMIs.
    const NMI: [u8; 6] = [4, 6, 0xff, 0, 0, 1];
    let mut madt = Sdt::new(*b"APIC", HEADER, MADT_REVISION, OEM, OEM_TABLE, 1);
    // No flags: there are no PICs that the guest had to switch off.
    madt.append_slice(&[LAPIC, 0].map(u32::to_le_bytes).concat());
    for id in 0..vcpus as u8 {
        let processor = ProcessorLocalApic::new(id, id, EnabledStatus::Enabled);
        madt.append_slice(&bytes(&processor));
    }
    madt.append_slice(&bytes(&IoApic::new(ioapic_id(vcpus), IOAPIC, 0)));
    madt.append_slice(&OVERRIDE);
    madt.append_slice(&NMI);
    madt
}

#[cfg(test)]
#[path = "acpi_tests.rs"]
mod tests;
