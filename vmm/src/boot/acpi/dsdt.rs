//! The DSDT: the devices that a guest can't find otherwise, in ACPI's machine language.

use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Memory32Fixed, Name, ONE, Package, ResourceTemplate, Scope,
    ZERO,
};
use acpi_tables::sdt::Sdt;
use devices::console::{COM1, COM1_IRQ, COM1_PORTS};
use devices::power::SLEEP_TYPE_OFF;
use devices::virtio::REGION_SIZE;

use super::{DSDT_REVISION, HEADER, OEM, OEM_TABLE, bytes};
use crate::virtio_slots::VirtioSlot;

/// The table, with these virtio devices.
pub(super) fn table(virtio: &[VirtioSlot]) -> Sdt {
    let mut table = Sdt::new(*b"DSDT", HEADER, DSDT_REVISION, OEM, OEM_TABLE, 1);
    table.append_slice(&console());
    for (number, slot) in (0..).zip(virtio) {
        table.append_slice(&virtio_device(number, *slot));
    }
    // What to write into `SLP_TYP` for the state in which the machine is off.
    let off = Name::new("_S5_".into(), &Package::new(vec![&SLEEP_TYPE_OFF]));
    table.append_slice(&bytes(&off));
    table
}

/// A virtio device with the mmio transport, by the id under which drivers look for it (QEMU
/// registered `LNRO0005` for it).
fn virtio_device(number: u8, slot: VirtioSlot) -> Vec<u8> {
    let kind = Name::new("_HID".into(), &"LNRO0005");
    let unit = Name::new("_UID".into(), &number);
    // Its accesses are in order with those of the processors.
    let coherent = Name::new("_CCA".into(), &ONE);
    let registers = Memory32Fixed::new(true, slot.address as u32, REGION_SIZE as u32);
    let interrupt = Interrupt::new(true, true, false, false, slot.gsi);
    let resources = ResourceTemplate::new(vec![&registers, &interrupt]);
    let resources = Name::new("_CRS".into(), &resources);
    let name = format!("VR{number:02}");
    let device = Device::new(name.as_str().into(), vec![&kind, &unit, &coherent, &resources]);
    bytes(&Scope::new("_SB_".into(), vec![&device]))
}

/// COM1, which a hardware-reduced machine has to name, and its interrupt with it.
fn console() -> Vec<u8> {
    let kind = Name::new("_HID".into(), &EISAName::new("PNP0501"));
    let number = Name::new("_UID".into(), &ZERO);
    let ports = IO::new(COM1, COM1, 1, COM1_PORTS as u8);
    // For its own use, edge-triggered, active high, not shared.
    let interrupt = Interrupt::new(true, true, false, false, COM1_IRQ);
    let resources = ResourceTemplate::new(vec![&ports, &interrupt]);
    let resources = Name::new("_CRS".into(), &resources);
    let device = Device::new("COM1".into(), vec![&kind, &number, &resources]);
    bytes(&Scope::new("_SB_".into(), vec![&device]))
}
