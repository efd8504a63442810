//! The memory map that every boot protocol hands to the guest, each in its own format.

use super::layout;
use crate::memory::Memory;

/// The type of usable memory: the same number in E820, PVH and Multiboot.
pub(super) const RAM: u32 = 1;
/// The type of memory that the guest must not use.
pub(super) const RESERVED: u32 = 2;

/// A range of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) size: u64,
    /// [`RAM`] or [`RESERVED`].
    pub(super) kind: u32,
}

/// The map of a machine, in ascending order: low memory, the BIOS area with the tables, and the
/// RAM above.
pub(super) fn entries(memory: &Memory) -> Vec<Entry> {
    let entry = |start, end: u64, kind| Entry { start, size: end - start, kind };
    let mut map =
        vec![entry(0, layout::LOW_END, RAM), entry(layout::LOW_END, layout::HIGH_START, RESERVED)];
    for region in memory.regions() {
        map.push(entry(region.start.max(layout::HIGH_START), region.start + region.size, RAM));
    }
    map
}

/// The end of the RAM below the devices.
pub(super) fn low_ram_end(memory: &Memory) -> u64 {
    memory.regions().next().map_or(0, |region| region.start + region.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{HOLE_END, HOLE_START, MemorySize};

    #[test]
    fn the_map_leaves_out_the_hole() {
        let memory = Memory::new(MemorySize::new(HOLE_START + (1 << 20)).unwrap()).unwrap();
        let map = entries(&memory);
        let ram: Vec<_> = map
            .iter()
            .filter(|entry| entry.kind == RAM)
            .map(|entry| (entry.start, entry.start + entry.size))
            .collect();
        assert_eq!(
            ram,
            [
                (0, layout::LOW_END),
                (layout::HIGH_START, HOLE_START),
                (HOLE_END, HOLE_END + (1 << 20))
            ]
        );
        assert_eq!(low_ram_end(&memory), HOLE_START);
    }
}
