//! What is loaded of an image with a header of Multiboot or Multiboot 2: the segments of an ELF
//! file, or what the header's own addresses say.

use crate::boot::elf::{Elf, Image};
use crate::boot::headers::multiboot::Addresses;
use crate::boot::layout;
use crate::boot::memory_map::{advice, low_ram_end};
use crate::error::{Error, Result};
use crate::memory::Memory;

/// Loads the image. Returns the entry point, and the end of the image in memory. `at` is the place
/// of the header in the file, and `entry` the entry point in the header, if it has one.
pub(in crate::boot) fn load(
    image: Image,
    memory: &Memory,
    at: usize,
    addresses: Option<Addresses>,
    entry: Option<u32>,
) -> Result<(u64, u64)> {
    let refuse = |problem: String| Error::Image { name: image.name.into(), problem };
    let Some(addresses) = addresses else {
        let elf = Elf::check(image, memory)?;
        let given = entry.map_or(elf.entry(), u64::from);
        let entry = match entry {
            Some(entry) => Some(u64::from(entry)).filter(|entry| elf.covers(*entry)),
            None => elf.physical_entry(),
        };
        let Some(entry) = entry.filter(|entry| *entry <= u32::MAX.into()) else {
            return Err(refuse(format!(
                "its entry point {given:#x} is in no segment below 4 GiB: link it into one"
            )));
        };
        elf.load(memory)?;
        return Ok((entry, elf.end()));
    };
    let Some(entry) = entry else {
        return Err(refuse("its Multiboot header has addresses, but no entry point".into()));
    };
    let (start, data, end) = place(image.bytes, at, addresses, memory).map_err(refuse)?;
    if !(start..end).contains(&entry.into()) {
        return Err(refuse(format!(
            "its Multiboot header gives the entry point {entry:#x}, outside of what is loaded, \
             {start:#x} to {end:#x}"
        )));
    }
    memory.write(start, data)?;
    Ok((entry.into(), end))
}

/// Where to load which part of the file, and the end of the zeros behind it.
fn place<'a>(
    bytes: &'a [u8],
    at: usize,
    addresses: Addresses,
    memory: &Memory,
) -> Result<(u64, &'a [u8], u64), String> {
    let Addresses { header, start, end, bss_end } = addresses;
    let offset = header.checked_sub(start).and_then(|before| at.checked_sub(before as usize));
    let Some(offset) = offset else {
        return Err(format!(
            "its Multiboot header is loaded to {header:#x} and the image to {start:#x}, but it is \
             only {at} bytes into the file"
        ));
    };
    let rest = &bytes[offset.min(bytes.len())..];
    let length = match end {
        0 => rest.len(),
        end => match end.checked_sub(start) {
            Some(length) => length as usize,
            None => return Err(format!("its Multiboot header loads from {start:#x} to {end:#x}")),
        },
    };
    let Some(data) = rest.get(..length) else {
        return Err(format!(
            "truncated: its Multiboot header loads {length} bytes, and the file has {}",
            rest.len()
        ));
    };
    let end = (u64::from(start) + length as u64).max(bss_end.into());
    if u64::from(start) < layout::HIGH_START {
        return Err(format!(
            "loaded at {start:#x}: the first MiB holds boot data; link it at {:#x} or above",
            layout::HIGH_START
        ));
    }
    if end > low_ram_end(memory) {
        return Err(format!("larger than memory: it ends at {end:#x}; {}", advice(end)));
    }
    Ok((start.into(), data, end))
}
