//! Which build of jitterbug this is.

use std::fs::File;
use std::io::{self, Read};

use experiments::campaign::ImageHash;

/// The program that this process runs, even if its file was replaced since.
const PROGRAM: &str = "/proc/self/exe";
/// The number of bytes that are read at once.
const PIECE: usize = 1 << 20;

/// The version and XXH64 of the program's file, such as `0.1.0-0123456789abcdef`: builds of one
/// version differ while it is worked on. Without /proc it is the version alone.
pub(super) fn name() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match hash() {
        Ok(hash) => format!("{version}-{hash}"),
        Err(error) => {
            tracing::warn!("{PROGRAM}: {error}: builds of one version can't be told apart");
            version.into()
        }
    }
}

fn hash() -> io::Result<String> {
    let mut program = File::open(PROGRAM)?;
    let mut hash = ImageHash::default();
    let mut piece = vec![0; PIECE];
    loop {
        match program.read(&mut piece)? {
            0 => return Ok(hash.image(String::new()).hash),
            length => hash.add(&piece[..length]),
        }
    }
}
