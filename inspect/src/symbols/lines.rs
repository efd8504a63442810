//! Source lines from DWARF.

use std::fmt;
use std::sync::Arc;

use gimli::{EndianArcSlice, RunTimeEndian, SectionId};
use object::{Object, ObjectSection};

use super::Line;

type Reader = EndianArcSlice<RunTimeEndian>;

/// A file's line tables. addr2line reads each unit when an address in it is first looked up.
pub(super) struct Lines(addr2line::Context<Reader>);

impl Lines {
    /// Reads the index of the units.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let endian =
            if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        if file.section_by_name(".debug_line").is_none() {
            return Err("it was built without line numbers (-g)".into());
        }
        let load = |id: SectionId| -> Result<Reader, String> {
            let data = match file.section_by_name(id.name()) {
                Some(section) => section
                    .uncompressed_data()
                    .map_err(|error| format!("section {}: {error}", id.name()))?,
                None => (&[]).into(),
            };
            Ok(EndianArcSlice::new(Arc::from(&*data), endian))
        };
        let dwarf = gimli::Dwarf::load(load)?;
        let context = addr2line::Context::from_dwarf(dwarf).map_err(|error| error.to_string())?;
        Ok(Self(context))
    }

    /// The line of `address` in the function whose symbol covers it. For inlined code it is the
    /// line of the call, because the line is shown next to the name of that function.
    pub(super) fn find(&self, address: u64) -> Option<Line> {
        // addr2line 0.27 adds 1 to the address. No instruction can be at the last address.
        address.checked_add(1)?;
        let mut frames = self.0.find_frames(address).skip_all_loads().ok()?;
        let mut location = None;
        while let Ok(Some(frame)) = frames.next() {
            location = frame.location;
        }
        let location = location?;
        let line = location.line.filter(|&line| line != 0)?;
        Some(Line { file: location.file?.to_owned(), line })
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}
