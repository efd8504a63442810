//! A disk whose file stays as it is: what the guest writes is kept beside it, until the end of the
//! run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use devices::virtio::SECTOR;

use super::Storage;
use crate::error::{Error, Result};

/// The sectors whose record is one word.
const GROUP: u64 = 64;

/// The sectors that were written. A word records 64 of them (32 KiB), and exists only once one is
/// written, so a large disk costs nothing by itself.
#[derive(Debug, Default)]
struct Written(BTreeMap<u64, u64>);

impl Written {
    fn has(&self, sector: u64) -> bool {
        self.0.get(&(sector / GROUP)).is_some_and(|word| word >> (sector % GROUP) & 1 != 0)
    }

    fn add(&mut self, sector: u64) {
        *self.0.entry(sector / GROUP).or_default() |= 1 << (sector % GROUP);
    }
}

/// A file that is only read, and what was written over it.
pub(super) struct Overlay {
    base: File,
    /// A sparse file without a name: it ends with this process, however that ends.
    top: File,
    written: Written,
}

impl Overlay {
    /// A disk of `size` bytes over this file.
    pub(super) fn new(base: File, size: u64) -> Result<Self> {
        let top = tempfile::tempfile().and_then(|top| {
            top.set_len(size)?;
            Ok(top)
        });
        let what = "a temporary file for the writes to a copy-on-write disk can't be made: name a \
                    folder for it by TMPDIR";
        let top = top.map_err(|source| Error::System { what, source })?;
        Ok(Self { base, top, written: Written::default() })
    }
}

impl Storage for Overlay {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        // The bytes come in runs of sectors from the same file.
        let mut start = 0;
        while start < data.len() {
            let first = (offset + start as u64) / SECTOR;
            let is_new = self.written.has(first);
            let more = (first + 1..).take_while(|sector| self.written.has(*sector) == is_new);
            let left = (data.len() - start) as u64;
            let sectors = 1 + more.take(left.div_ceil(SECTOR) as usize).count() as u64;
            let end = start + left.min(sectors * SECTOR) as usize;
            let file = if is_new { &self.top } else { &self.base };
            file.read_exact_at(&mut data[start..end], offset + start as u64)?;
            start = end;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.top.write_all_at(data, offset)?;
        let first = offset / SECTOR;
        (first..first + data.len() as u64 / SECTOR).for_each(|sector| self.written.add(sector));
        Ok(())
    }

    /// Nothing of it outlives the process.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
