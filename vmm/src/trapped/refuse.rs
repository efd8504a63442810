//! Checks which ranges can be trapped, as far as this is known before the guest runs.

use std::ops::Range;

use crate::boot::elf::{self, Image};
use crate::boot::layout;
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::{HOLE_END, HOLE_START, Memory};
use crate::paging::pages;

/// Fails if a machine with this configuration can't trap these guest-physical addresses, as far as
/// this is known before its guest runs.
pub fn can_watch(range: &Range<u64>, config: &MachineConfig) -> Result<()> {
    check(range, Image::of(config), &Memory::new(config.memory)?)
}

/// Fails unless a machine with this configuration has RAM at all of these guest-physical addresses.
pub(crate) fn is_memory(range: &Range<u64>, config: &MachineConfig) -> Result<()> {
    is_ram(range, &Memory::new(config.memory)?)
}

/// Traps the ranges that hooks watch, in the memory of a machine that is being created. Fails if
/// one of the ranges can't be trapped.
pub(crate) fn watch(
    ranges: &[Range<u64>],
    config: &MachineConfig,
    memory: &mut Memory,
) -> Result<()> {
    for range in ranges {
        check(range, Image::of(config), memory)?;
        memory.watch(range.clone());
    }
    Ok(())
}

fn refuse<T>(range: &Range<u64>, problem: String) -> Result<T> {
    let value = format!("{:#x}..{:#x}", range.start, range.end);
    Err(Error::Config { setting: "watch of guest-physical", value, problem })
}

/// Fails unless there is RAM at all of these guest-physical addresses.
pub(crate) fn is_ram(range: &Range<u64>, memory: &Memory) -> Result<()> {
    if range.is_empty() {
        return refuse(range, "nothing is in there".into());
    }
    let in_ram = |region: crate::memory::Region| {
        region.start <= range.start && range.end - region.start <= region.size
    };
    if !memory.regions().any(in_ram) {
        let devices = range.start < HOLE_END && HOLE_START < range.end;
        return refuse(
            range,
            if devices {
                "devices are there, and no RAM: their accesses are exits anyway".into()
            } else {
                "not all of it is RAM".into()
            },
        );
    }
    Ok(())
}

/// Refuses a guest-physical range that can't be trapped, with the reason. What the guest itself
/// will put there, page tables for example, isn't known yet.
fn check(range: &Range<u64>, image: Image, memory: &Memory) -> Result<()> {
    is_ram(range, memory)?;
    let pages = pages(range);
    let meets = |other: &Range<u64>| other.start < pages.end && pages.start < other.end;
    if meets(&(layout::GDT..layout::GDT + 1)) {
        return refuse(range, "the GDT that the guest starts with is on the same page".into());
    }
    if let Some(code) = elf::executable(image).iter().find(|code| meets(code)) {
        let problem = format!(
            "code is on the same page ({:#x}..{:#x}), and can't be fetched from a watched one: move \
             what is watched to a page of its own",
            code.start, code.end
        );
        return refuse(range, problem);
    }
    Ok(())
}
