//! The memory map that every boot protocol hands to the guest, each in its own format.

use super::layout;
use crate::memory::{HOLE_START, Memory};

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

/// What to do about an image that needs RAM up to `end`, as the end of a message.
pub(super) fn advice(end: u64) -> String {
    if end > HOLE_START {
        return format!(
            "RAM ends below the devices, at {HOLE_START:#x}, whatever --mem is: link it lower"
        );
    }
    format!("give --mem {}M or more", end.div_ceil(1 << 20))
}

/// The end of the RAM below the devices.
pub(super) fn low_ram_end(memory: &Memory) -> u64 {
    memory.regions().next().map_or(0, |region| region.start + region.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{HOLE_END, MemorySize};

    #[test]
    fn no_memory_size_is_advised_that_would_not_do() {
        assert_eq!(advice(0x60_0000), "give --mem 6M or more");
        assert_eq!(advice(0x60_0001), "give --mem 7M or more");
        assert_eq!(advice(HOLE_START), "give --mem 3072M or more");
        assert!(advice(HOLE_START + 1).contains("whatever --mem is"));
    }

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
