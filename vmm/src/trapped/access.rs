//! Performs accesses to trapped memory, for either scheduler.

use crate::error::Result;
use crate::exit::{Bytes, little};
use crate::hook::Access;
use crate::memory::Memory;

/// Performs a load by the instruction at `rip`. Returns it with the bytes that the guest gets.
pub(crate) fn load(
    memory: &Memory,
    address: u64,
    size: u8,
    locked: bool,
    rip: u64,
) -> Result<(Access, Bytes)> {
    let mut data = Bytes::from_elem(0, usize::from(size));
    memory.read(address, &mut data)?;
    let value = little(&data);
    Ok((
        Access { address, size, write: false, value, before: value, locked, rip, exact: true },
        data,
    ))
}

/// Performs a store. `rip` is the address that the vCPU's RIP has at the exit.
pub(crate) fn store(
    memory: &Memory,
    address: u64,
    data: &Bytes,
    locked: bool,
    rip: u64,
) -> Result<Access> {
    let mut before = Bytes::from_elem(0, data.len());
    memory.read(address, &mut before)?;
    // A store of the same value does not make the page differ from a snapshot.
    if before != *data {
        memory.write(address, data)?;
    }
    let (value, before) = (little(data), little(&before));
    Ok(Access {
        address,
        size: data.len() as u8,
        write: true,
        value,
        before,
        locked,
        rip,
        exact: true,
    })
}
