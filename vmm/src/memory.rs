//! The guest-physical address layout, and the memory behind it.
//!
//! | guest-physical | contents |
//! |---|---|
//! | 0x500 | the GDT for the first instruction |
//! | 0x6000, 0x7000 | PVH start info, memory map |
//! | 0x20000 | command line |
//! | 0x9fc00-0x100000 | reserved, as on a PC; the MP table is at 0xf0000 |
//! | 0x100000- | free for the guest |
//! | 0xc0000000-0x100000000 | devices (virtio, IOAPIC, LAPIC); RAM continues above |

mod flip;
mod int3;
mod patched;
mod shared;
mod trapped_pages;
mod written;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::error::{Error, Result};
use crate::paging::{self, PhysicalMemory};
use crate::unsupported::Watcher;
pub(crate) use int3::INT3;
use int3::Inserted;
use patched::Patches;
pub(crate) use shared::SharedMemory;
use trapped_pages::TrappedPages;
pub(crate) use written::WrittenPages;

pub use crate::paging::PAGE_SIZE;

/// The end of the low RAM and start of the device addresses.
pub const HOLE_START: u64 = 0xc000_0000;
/// The end of the device addresses and start of the high RAM.
pub const HOLE_END: u64 = 0x1_0000_0000;

/// A size of guest memory: whole pages, from 2 MiB to 64 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize(u64);

impl MemorySize {
    /// The minimum: the boot data below 1 MiB, and some memory above.
    pub const MIN: u64 = 2 << 20;
    /// The maximum; more is not needed, and is probably a typing error.
    pub const MAX: u64 = 64 << 30;

    /// Fails unless `bytes` is a valid size.
    pub fn new(bytes: u64) -> Result<Self> {
        let problem = if bytes < Self::MIN {
            "too little: give at least 2M"
        } else if bytes > Self::MAX {
            "too much: give at most 64G"
        } else if !bytes.is_multiple_of(PAGE_SIZE) {
            "not a whole number of 4096-byte pages"
        } else {
            return Ok(Self(bytes));
        };
        Err(Error::Config { setting: "--mem", value: bytes.to_string(), problem: problem.into() })
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for MemorySize {
    fn default() -> Self {
        Self(128 << 20)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b if b.is_multiple_of(1 << 30) => write!(f, "{}G", b >> 30),
            b if b.is_multiple_of(1 << 20) => write!(f, "{}M", b >> 20),
            b => write!(f, "{}K", b >> 10),
        }
    }
}

impl FromStr for MemorySize {
    type Err = Error;

    /// Reads `128M`, `2G`, `65536K`, or a plain number, which counts MiB as in QEMU.
    fn from_str(text: &str) -> Result<Self> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
            Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
            Some(b't' | b'T') => (&text[..text.len() - 1], 40),
            _ => (text, 20),
        };
        let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
        match bytes {
            Some(bytes) => Self::new(bytes).map_err(|error| match error {
                Error::Config { setting, problem, .. } => {
                    Error::Config { setting, value: text.into(), problem }
                }
                other => other,
            }),
            None => Err(Error::Config {
                setting: "--mem",
                value: text.into(),
                problem: "not a size: write for example 128M or 2G".into(),
            }),
        }
    }
}

impl Serialize for MemorySize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A contiguous range of RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The guest-physical address of its first byte.
    pub start: u64,
    /// The number of bytes.
    pub size: u64,
    /// The address at which it is mapped in this process.
    pub host: u64,
}

/// The RAM of a machine.
#[derive(Debug)]
pub struct Memory {
    map: GuestMemoryMmap<WrittenPages>,
    /// The guest-physical ranges that get no memory slot.
    trapped: TrappedPages,
    /// The ranges among them that the controlled scheduler traps.
    shared: Vec<Range<u64>>,
    patches: Patches,
    inserted: Inserted,
}

impl PhysicalMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        Memory::read(self, address, buffer).is_ok()
    }
}

impl Memory {
    /// Maps zeroed RAM of this size, split around the device addresses.
    pub fn new(size: MemorySize) -> Result<Self> {
        let low = size.bytes().min(HOLE_START);
        let mut ranges = vec![(GuestAddress(0), low as usize)];
        if size.bytes() > low {
            ranges.push((GuestAddress(HOLE_END), (size.bytes() - low) as usize));
        }
        let map = GuestMemoryMmap::from_ranges(&ranges)
            .map_err(|error| Error::NoMemory { bytes: size.bytes(), cause: error.to_string() })?;
        let (trapped, shared) = (TrappedPages::default(), Vec::new());
        let (patches, inserted) = (Patches::default(), Inserted::default());
        Ok(Self { map, trapped, shared, patches, inserted })
    }

    /// Traps the pages of this range: they are left out of the guest's memory slots, so that each
    /// load and store of the guest there exits. The contents remain accessible by [`Self::read`]
    /// and [`Self::write`]. Call this before the VM is created.
    pub fn watch(&mut self, range: Range<u64>) {
        self.trapped.add(&range);
    }

    /// The same for the memory of a machine that exists: its slots have to be made anew
    /// ([`Vm::remap`](crate::kvm::Vm::remap)) before a vCPU runs.
    pub(crate) fn trap(&self, range: &Range<u64>) {
        self.trapped.add(range);
    }

    /// Undoes [`Self::trap`] for the same range. Pages that are trapped for another range as well
    /// stay trapped.
    pub(crate) fn release(&self, range: &Range<u64>) {
        self.trapped.remove(range);
    }

    /// Like [`Self::watch`], for memory that the vCPUs share under the controlled scheduler.
    pub(crate) fn watch_shared(&mut self, range: Range<u64>) {
        self.shared.push(range.clone());
        self.watch(range);
    }

    /// Whether the guest's accesses to this address exit.
    pub fn is_trapped(&self, address: u64) -> bool {
        self.trapped.contains(address)
    }

    /// Whether an exit of the guest because of an access to this address may be outstanding: its
    /// page is trapped, or was so before.
    pub(crate) fn may_exit(&self, address: u64) -> bool {
        self.trapped.may_exit(address)
    }

    /// Whether this address is RAM with a memory slot, which the guest accesses without an exit.
    pub(crate) fn has_slot(&self, address: u64) -> bool {
        let has = |region: Region| (region.start..region.start + region.size).contains(&address);
        self.regions().any(has) && !self.is_trapped(address)
    }

    /// Whether any page is trapped.
    pub fn has_trapped_pages(&self) -> bool {
        !self.trapped.is_empty()
    }

    /// Whether all pages that overlap this range are trapped.
    pub fn is_all_trapped(&self, range: &Range<u64>) -> bool {
        paging::pages(range).step_by(PAGE_SIZE as usize).all(|page| self.is_trapped(page))
    }

    /// Why this address is trapped.
    pub(crate) fn watcher(&self, address: u64) -> Watcher {
        let shared = |range: &Range<u64>| paging::pages(range).contains(&address);
        if self.shared.iter().any(shared) { Watcher::Scheduler } else { Watcher::Hook }
    }

    /// The guest-physical ranges that are trapped, in ascending order.
    pub fn trapped(&self) -> Vec<Range<u64>> {
        self.trapped.all()
    }

    /// The RAM that gets memory slots: the regions without the trapped ranges.
    pub fn slots(&self) -> Vec<Region> {
        let (mut slots, trapped) = (Vec::new(), self.trapped());
        for region in self.regions() {
            let (mut start, end) = (region.start, region.start + region.size);
            let mut put = |start: u64, end: u64| {
                if start < end {
                    let host = region.host + (start - region.start);
                    slots.push(Region { start, size: end - start, host });
                }
            };
            for hole in &trapped {
                if hole.start < end && start < hole.end {
                    put(start, hole.start);
                    start = hole.end;
                }
            }
            put(start, end);
        }
        slots
    }

    /// The regions of RAM, in ascending order.
    pub fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        self.map.iter().map(|region| Region {
            start: region.start_addr().0,
            size: region.len(),
            host: region.as_ptr() as u64,
        })
    }

    /// Fills `buffer` from guest-physical `address`.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<()> {
        if self.inserted.is_used() {
            return self.read_without_int3(address, buffer);
        }
        self.read_all(address, buffer)
    }

    fn read_all(&self, address: u64, buffer: &mut [u8]) -> Result<()> {
        // A fast path: one region nearly always contains the whole range, and vm-memory's general
        // function takes twice as long for a word.
        let start = GuestAddress(address);
        if let Some((region, at)) = self.map.to_region_addr(start)
            && let Ok(piece) = region.get_slice(at, buffer.len())
        {
            piece.copy_to(buffer);
            return Ok(());
        }
        self.map
            .read_slice(buffer, GuestAddress(address))
            .map_err(|_| Error::Unbacked { address, length: buffer.len() })
    }

    /// Writes `data` at guest-physical `address`.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<()> {
        if self.inserted.is_used() {
            return self.write_below_int3(address, data);
        }
        self.write_all(address, data)
    }

    fn write_all(&self, address: u64, data: &[u8]) -> Result<()> {
        self.map
            .write_slice(data, GuestAddress(address))
            .map_err(|_| Error::Unbacked { address, length: data.len() })
    }

    /// Reads a little-endian 64-bit word at guest-physical `address`.
    pub fn read_u64(&self, address: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a little-endian 32-bit word at guest-physical `address`.
    pub fn read_u32(&self, address: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Calls `page` with the guest-physical address of each page that the host has written since
    /// the last call.
    pub(crate) fn take_written(&self, mut page: impl FnMut(u64)) {
        for region in self.map.iter() {
            let start = region.start_addr().0;
            // The double dereference yields the region's own bitmap instead of a slice of it.
            (**region).bitmap().take(|number| page(start + number * PAGE_SIZE));
        }
    }

    /// The mapping, for loaders that use vm-memory.
    pub(crate) fn map(&self) -> &GuestMemoryMmap<WrittenPages> {
        &self.map
    }
}
