//! Standard input for a host that can't pass it on while the program runs.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{At, Result};

/// The rest of this process's standard input, if that is a file. A pipe or a terminal may have no
/// end: it is not read, and the result is empty.
pub(crate) fn file() -> Result<Vec<u8>> {
    let place = Path::new("/proc/self/fd/0");
    let mut content = Vec::new();
    if fs::metadata(place).is_ok_and(|input| input.is_file()) {
        io::stdin().read_to_end(&mut content).at(Path::new("standard input"))?;
    }
    Ok(content)
}
