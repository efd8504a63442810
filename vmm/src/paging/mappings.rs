//! Lists everything that a vCPU's page tables map.

use super::{ADDRESS, LARGE, Mode, PAGE_SIZE, PRESENT, PhysicalMemory, entry};
use crate::registers::SystemRegisters;

/// A range of guest-virtual addresses, and its guest-physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The guest-virtual address of its first byte.
    pub virt: u64,
    /// The guest-physical address of its first byte.
    pub phys: u64,
    /// The number of bytes.
    pub size: u64,
}

/// The maximum number of entries that are examined: a table that maps itself is a tree without end.
const MAX_ENTRIES: u64 = 1 << 24;

/// The mappings of long mode's tables, in ascending order; adjacent mappings are merged. Returns at
/// most `most` mappings, and none in other modes. Protection bits are ignored.
pub fn mappings<M: PhysicalMemory + ?Sized>(
    system: &SystemRegisters,
    memory: &M,
    most: usize,
) -> Vec<Mapping> {
    let Mode::Long { levels } = Mode::of(system) else { return Vec::new() };
    let mut walk = Walk { memory, most, found: Vec::new(), entries: 0 };
    walk.table(system.cr3 & ADDRESS, levels, 0);
    let above = 64 - (12 + 9 * levels);
    for mapping in &mut walk.found {
        mapping.virt = ((mapping.virt << above) as i64 >> above) as u64;
    }
    walk.found
}

struct Walk<'a, M: ?Sized> {
    memory: &'a M,
    most: usize,
    found: Vec<Mapping>,
    entries: u64,
}

impl<M: PhysicalMemory + ?Sized> Walk<'_, M> {
    fn table(&mut self, table: u64, level: u32, start: u64) {
        let size = PAGE_SIZE << (9 * (level - 1));
        for index in 0..512 {
            self.entries += 1;
            if self.entries > MAX_ENTRIES || self.found.len() > self.most {
                break;
            }
            let Ok(entry) = entry(self.memory, table + index * 8) else { return };
            let virt = start + index * size;
            if entry & PRESENT == 0 {
                continue;
            }
            if level == 1 || matches!(level, 2 | 3) && entry & LARGE != 0 {
                self.put(Mapping { virt, phys: entry & ADDRESS & !(size - 1), size });
            } else {
                self.table(entry & ADDRESS, level - 1, virt);
            }
        }
        self.found.truncate(self.most);
    }

    fn put(&mut self, next: Mapping) {
        let follows = |last: &&mut Mapping| {
            last.virt + last.size == next.virt && last.phys + last.size == next.phys
        };
        match self.found.last_mut().filter(follows) {
            Some(last) => last.size += next.size,
            None => self.found.push(next),
        }
    }
}
