//! VMware's backdoor: a port by which a guest queries its hypervisor.
//!
//! The guest puts a magic number into EAX and a command into ECX, and reads 32 bits from port
//! 0x5658. The answer is returned in EAX *and other registers*, which an ordinary device can't
//! access, so this device is called with the registers instead of the data. (Linux
//! `arch/x86/include/asm/vmware.h`, QEMU `hw/i386/vmport.c`, open-vm-tools `backdoor_def.h`.)

/// The backdoor's port.
pub const PORT: u16 = 0x5658;
/// "VMXh": the value that EAX must have.
pub const MAGIC: u32 = 0x564d_5868;

/// EAX after a refused command, and after a read without the magic number.
const REFUSED: u32 = u32::MAX;

/// A device that answers through the vCPU's registers.
pub trait RegisterPort: Send + Sync {
    /// The device's port, for accesses of 32 bits.
    fn port(&self) -> u16;

    /// Answers a call in place. `eax` is also what an `in` returns.
    fn call(&self, registers: &mut CallRegisters);
}

/// The registers that a call can read and change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each field is the register of that name
pub struct CallRegisters {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// The backdoor, and what it reports about its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backdoor {
    /// The TSC's frequency in Hz.
    pub tsc_hz: u64,
    /// The frequency of the local APIC timer's bus in Hz.
    pub bus_hz: u32,
}

/// The supported commands; all others are refused, as VMware refuses unknown commands.
mod command {
    pub(super) const GETVERSION: u16 = 10;
    pub(super) const GETHZ: u16 = 45;
    pub(super) const GETVCPU_INFO: u16 = 68;
}

/// GETVERSION's EAX: the protocol's version, as QEMU and every VMware product answer.
const VERSION: u32 = 6;
/// GETVERSION's ECX: the product, here a server (`VMX_TYPE_SCALABLE_SERVER`).
const PRODUCT_SERVER: u32 = 2;
/// `GETVCPU_INFO`: the vCPU may use x2APIC without interrupt remapping. A clear bit 31 means that
/// the command exists.
const VCPU_LEGACY_X2APIC: u32 = 1 << 3;

impl RegisterPort for Backdoor {
    fn port(&self) -> u16 {
        PORT
    }

    fn call(&self, registers: &mut CallRegisters) {
        if registers.eax != MAGIC {
            registers.eax = REFUSED;
            return;
        }
        // The upper half of ECX is a sub-command, which the supported commands don't use.
        match registers.ecx as u16 {
            command::GETVERSION => {
                registers.eax = VERSION;
                registers.ebx = MAGIC;
                registers.ecx = PRODUCT_SERVER;
            }
            command::GETHZ => {
                registers.eax = self.tsc_hz as u32;
                registers.ebx = (self.tsc_hz >> 32) as u32;
                registers.ecx = self.bus_hz;
            }
            command::GETVCPU_INFO => registers.eax = VCPU_LEGACY_X2APIC,
            _ => registers.eax = REFUSED,
        }
    }
}

#[cfg(test)]
#[path = "backdoor_tests.rs"]
mod tests;
