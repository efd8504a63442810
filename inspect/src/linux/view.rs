//! Guest-virtual memory, as one vCPU's page tables map it.

use std::ops::{ControlFlow, Range};

use memchr::memmem;
use vmm::paging::{self, Fault, PAGE_SIZE, PhysicalMemory};
use vmm::registers::SystemRegisters;

/// The size of the pages that map a kernel's image (2 MiB).
const LARGE_PAGE: u64 = 2 << 20;
/// The number of bytes that a search reads at a time.
const CHUNK: usize = 64 << 10;

/// The memory that a vCPU's page tables map.
pub(super) struct View<'a, M: ?Sized> {
    system: SystemRegisters,
    memory: &'a M,
}

/// A copy of consecutive bytes of guest memory.
pub(super) struct Region {
    /// The address of the first byte.
    pub(super) base: u64,
    pub(super) bytes: Vec<u8>,
}

impl<'a, M: PhysicalMemory + ?Sized> View<'a, M> {
    pub(super) fn new(system: &SystemRegisters, memory: &'a M) -> Self {
        Self { system: *system, memory }
    }

    /// The memory that the kernel's page tables map, if the vCPU runs with those that page-table
    /// isolation gives to programs: a pair of top-level tables takes two pages, and the second is
    /// for programs (`arch/x86/include/asm/pgtable.h`, `kernel_to_user_pgdp`). `None` if CR3 does
    /// not contain a second page.
    pub(super) fn isolated(&self) -> Option<Self> {
        let is_second = self.system.cr3 & PAGE_SIZE != 0;
        let system = SystemRegisters { cr3: self.system.cr3 & !PAGE_SIZE, ..self.system };
        is_second.then_some(Self { system, memory: self.memory })
    }

    /// The guest-physical address of a linear one.
    pub(super) fn physical(&self, address: u64) -> Option<u64> {
        paging::translate(&self.system, self.memory, address).ok()
    }

    /// Fills `buffer`; returns whether all of it is mapped.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        paging::read(&self.system, self.memory, address, buffer).is_ok()
    }

    /// The 8-byte integer at `address`.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        paging::read_integer(&self.system, self.memory, address, 8).ok()
    }

    /// The 4-byte integer at `address`.
    pub(super) fn half(&self, address: u64) -> Option<u32> {
        let value = paging::read_integer(&self.system, self.memory, address, 4).ok()?;
        u32::try_from(value).ok()
    }

    /// `size` bytes; `None` if not all of them are mapped. The caller bounds `size`.
    pub(super) fn bytes(&self, address: u64, size: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.read(address, &mut bytes).then_some(bytes)
    }

    /// The text at `address`, which ends at a NUL; `None` if it has `max` bytes or more, or others
    /// than the visible characters of ASCII.
    pub(super) fn text(&self, address: u64, max: usize) -> Option<String> {
        let mut text = Vec::new();
        while text.len() < max {
            // The next page need not be mapped.
            let at = address.wrapping_add(text.len() as u64);
            let in_page = PAGE_SIZE - at % PAGE_SIZE;
            let bytes = self.bytes(at, in_page.min((max - text.len()) as u64) as usize)?;
            let end = memchr::memchr(0, &bytes);
            text.extend_from_slice(bytes.get(..end.unwrap_or(bytes.len()))?);
            if end.is_some() {
                let is_visible = text.iter().all(u8::is_ascii_graphic);
                return String::from_utf8(text).ok().filter(|_| is_visible);
            }
        }
        None
    }

    /// The mapped pages around `address`, without a gap: up to `before` bytes before its page, and
    /// up to `behind` bytes from its page on.
    pub(super) fn around(&self, address: u64, before: u64, behind: u64) -> Region {
        let page = address & !(PAGE_SIZE - 1);
        let is_mapped = |&page: &u64| paging::translate(&self.system, self.memory, page).is_ok();
        let backward = (1..=before / PAGE_SIZE).map(|n| page.wrapping_sub(n * PAGE_SIZE));
        let forward = (0..behind / PAGE_SIZE).map(|n| page.wrapping_add(n * PAGE_SIZE));
        let base = backward.take_while(is_mapped).last().unwrap_or(page);
        let end = forward.take_while(is_mapped).last().map_or(page, |last| last + PAGE_SIZE);
        let mut bytes = vec![0; end.saturating_sub(base) as usize];
        if !self.read(base, &mut bytes) {
            bytes.clear();
        }
        Region { base, bytes }
    }

    /// Calls `found` with each address in `range` at which `needle` is, until it breaks.
    pub(super) fn search<T>(
        &self,
        range: Range<u64>,
        needle: &[u8],
        mut found: impl FnMut(u64) -> ControlFlow<T>,
    ) -> Option<T> {
        let finder = memmem::Finder::new(needle);
        let mut page = range.start & !(PAGE_SIZE - 1);
        // The bytes of the pages that end at `page`, without a gap.
        let mut bytes: Vec<u8> = Vec::with_capacity(CHUNK + PAGE_SIZE as usize);
        let mut buffer = [0; PAGE_SIZE as usize];
        loop {
            let is_end = page >= range.end;
            let read = if is_end {
                Err(Fault::NotCanonical)
            } else {
                paging::read(&self.system, self.memory, page, &mut buffer)
            };
            if read.is_ok() {
                bytes.extend(buffer);
            }
            if bytes.len() >= CHUNK || read.is_err() {
                let base = page.wrapping_add(if read.is_ok() { PAGE_SIZE } else { 0 });
                let base = base.wrapping_sub(bytes.len() as u64);
                for at in finder.find_iter(&bytes) {
                    if let ControlFlow::Break(value) = found(base.wrapping_add(at as u64)) {
                        return Some(value);
                    }
                }
                // What follows may complete a needle that begins here.
                let kept = if read.is_ok() { needle.len().saturating_sub(1) } else { 0 };
                bytes.drain(..bytes.len().saturating_sub(kept));
            }
            page = match read {
                _ if is_end => return None,
                Err(Fault::NotPresent { level: 2.. }) => (page | (LARGE_PAGE - 1)).wrapping_add(1),
                _ => page.wrapping_add(PAGE_SIZE),
            };
        }
    }
}

impl Region {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }

    pub(super) fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
}
