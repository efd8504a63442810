//! Places an initial RAM disk in memory, for each boot protocol that has one.

use std::ops::Range;

use super::memory_map::low_ram_end;
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
    let below = below.min(low_ram_end(memory));
    let start = below.checked_sub(size).map(|start| start & !(PAGE_SIZE - 1));
    let Some(start) = start.filter(|start| *start >= above) else {
        // Enough for the kernel and the initrd, each rounded up to whole MiB.
        let needed = above.div_ceil(1 << 20) + size.div_ceil(1 << 20) + 1;
        return Err(refuse(format!(
            "an initrd of {size} bytes: the kernel needs the memory up to {above:#x}, and {below:#x} \
             is the end for an initrd; give --mem {needed}M or more"
        )));
    };
    memory.write(start, &initrd.bytes)?;
    Ok(Some(start..start + size))
}
