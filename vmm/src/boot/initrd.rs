//! Places an initial RAM disk in memory, for each boot protocol that has one.

use std::ops::Range;

use super::memory_map::{advice, low_ram_end};
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::{Memory, PAGE_SIZE};

/// Loads the initrd of a machine, if it has one, as high as possible between `above`, where the
/// kernel ends, and `below`, the first address that the kernel can't reach. Returns its range.
pub(super) fn load(
    config: &MachineConfig,
    memory: &Memory,
    above: u64,
    below: u64,
) -> Result<Option<Range<u64>>> {
    let Some(initrd) = &config.initrd else { return Ok(None) };
    let refuse = |problem: String| Error::Image { name: initrd.name.clone(), problem };
    let size = initrd.bytes.len() as u64;
    if size == 0 {
        return Err(refuse("an empty file: give an initrd, or leave out --initrd".into()));
    }
    let end = below.min(low_ram_end(memory));
    let start = end.checked_sub(size).map(|start| start & !(PAGE_SIZE - 1));
    let Some(start) = start.filter(|start| *start >= above) else {
        // The end of the initrd if it followed the kernel at the next page.
        let needed = above.next_multiple_of(PAGE_SIZE).saturating_add(size);
        let advice = if needed > below {
            format!(
                "the kernel takes it only below {below:#x}, whatever --mem is: give a smaller one"
            )
        } else {
            advice(needed.next_multiple_of(PAGE_SIZE))
        };
        return Err(refuse(format!(
            "an initrd of {size} bytes: the kernel needs the memory up to {above:#x}, and the initrd \
             has to end at {end:#x}; {advice}"
        )));
    };
    memory.write(start, &initrd.bytes)?;
    Ok(Some(start..start + size))
}
