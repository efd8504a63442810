//! Telling locked read-modify-writes from others.
//!
//! On a watched page both arrive as a read exit and then a write exit. A locked one is one access:
//! no other vCPU may run between its halves. An unlocked one is two, as on hardware.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};

use crate::error::Result;
use crate::kvm::KvmCpu;
use crate::memory::Memory;

/// The longest x86 instruction.
const MAX_INSTRUCTION: usize = 15;

/// What instructions are, by address. Guests that rewrite their own code are not supported.
#[derive(Debug, Default)]
pub(super) struct Instructions {
    locked: HashMap<u64, bool>,
}

impl Instructions {
    /// Whether the instruction at `rip` reads and writes memory as one access.
    pub(super) fn is_locked(&mut self, rip: u64, cpu: &KvmCpu, memory: &Memory) -> Result<bool> {
        if let Some(known) = self.locked.get(&rip) {
            return Ok(*known);
        }
        let code = fetch(rip, cpu, memory)?;
        let locked = decode(&code);
        self.locked.insert(rip, locked);
        Ok(locked)
    }
}

/// The bytes of the instruction at `rip`, through the guest's page tables.
fn fetch(rip: u64, cpu: &KvmCpu, memory: &Memory) -> Result<Vec<u8>> {
    let mut code = Vec::with_capacity(MAX_INSTRUCTION);
    for address in rip..rip.saturating_add(MAX_INSTRUCTION as u64) {
        let Some(physical) = cpu.translate(address)? else { break };
        let mut byte = [0];
        if memory.read(physical, &mut byte).is_err() {
            break;
        }
        code.push(byte[0]);
    }
    Ok(code)
}

/// A LOCK prefix, or XCHG with memory, which locks without one (Intel SDM vol. 3, 9.1.2).
fn decode(code: &[u8]) -> bool {
    let instruction = Decoder::new(64, code, DecoderOptions::NONE).decode();
    let memory = (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory);
    instruction.has_lock_prefix() || instruction.mnemonic() == Mnemonic::Xchg && memory
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn locked_instructions_are_told() {
        assert!(decode(&[0xf0, 0xff, 0x00]), "lock inc");
        assert!(decode(&[0x87, 0x03]), "xchg %eax,(%rbx)");
        assert!(decode(&[0xf0, 0x0f, 0xb1, 0x0b]), "lock cmpxchg");
        assert!(!decode(&[0xff, 0x00]), "inc");
        assert!(!decode(&[0x8b, 0x03]), "mov");
        assert!(!decode(&[0x87, 0xd8]), "xchg of registers");
        assert!(!decode(&[]), "nothing");
    }
}
