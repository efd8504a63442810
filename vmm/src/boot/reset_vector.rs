//! The code at the reset vector, to which a guest jumps that resets the machine by its firmware, as
//! Linux does where nothing else has reset it. There is no firmware, so the code writes to the
//! reset control register.

use devices::power::{RESET_PORT, RESET_VALUE};

use crate::error::Result;
use crate::memory::Memory;

/// The address of ffff:0000, at which a processor in real mode starts.
const RESET_VECTOR: u64 = 0xf_fff0;

/// Writes the code.
pub(super) fn write(memory: &Memory) -> Result<()> {
    let [low, high] = RESET_PORT.to_le_bytes();
    let code = [
        0xfa, // cli
        0xba,
        low,
        high, // mov $RESET_PORT,%dx
        0xb0,
        RESET_VALUE, // mov $RESET_VALUE,%al
        0xee,        // out %al,(%dx)
        0xf4,        // hlt
        0xeb,
        0xfd, // jmp to the HLT
    ];
    memory.write(RESET_VECTOR, &code)
}
