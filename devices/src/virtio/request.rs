//! What a request to a block device asks for (5.2.6).

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};

use super::queues::Chain;
use super::ram::Ram;
use super::transport::Transport;

/// The bytes of a sector, in which the protocol counts whatever the disk's block size is.
pub const SECTOR: u64 = 512;
/// The bytes before the data: the type, a reserved word, the first sector.
pub(super) const HEADER: u64 = 16;
/// The byte behind the data.
const STATUS: u64 = 1;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// To read this range of bytes.
    Read { offset: u64, length: u64 },
    /// To write this range of bytes.
    Write { offset: u64, length: u64 },
    /// To make what was written durable.
    Flush,
    /// The name of the disk.
    Name,
    /// Something that the device has no name for.
    Unknown,
    /// A range that the disk doesn't have, or that is no whole number of sectors.
    OutOfRange,
}

impl Operation {
    /// The bytes of data.
    pub(super) fn length(self) -> u64 {
        match self {
            Self::Read { length, .. } | Self::Write { length, .. } => length,
            _ => 0,
        }
    }
}

/// Reads what a chain asks a disk of this size for. `None` if the chain has no room for the header
/// or the status, so that it is no request.
pub(super) fn parse<R: Ram>(
    chain: &Chain,
    transport: &Transport<R>,
    disk: u64,
) -> Option<Operation> {
    let mut header = [0; HEADER as usize];
    if !transport.read(chain, 0, &mut header) {
        return None;
    }
    let room = chain.writable.len().checked_sub(STATUS)?;
    let [a, b, c, d, _, _, _, _, sector @ ..] = header;
    let sector = u64::from_le_bytes(sector);
    Some(match u32::from_le_bytes([a, b, c, d]) {
        VIRTIO_BLK_T_IN => range(sector, room, disk)
            .map_or(Operation::OutOfRange, |offset| Operation::Read { offset, length: room }),
        VIRTIO_BLK_T_OUT => {
            let length = chain.readable.len() - HEADER;
            range(sector, length, disk)
                .map_or(Operation::OutOfRange, |offset| Operation::Write { offset, length })
        }
        VIRTIO_BLK_T_FLUSH => Operation::Flush,
        VIRTIO_BLK_T_GET_ID => Operation::Name,
        _ => Operation::Unknown,
    })
}

/// The offset of a sector, if the disk has this number of bytes from there on.
fn range(sector: u64, length: u64, disk: u64) -> Option<u64> {
    let offset = sector.checked_mul(SECTOR)?;
    let end = offset.checked_add(length)?;
    (length.is_multiple_of(SECTOR) && end <= disk).then_some(offset)
}
