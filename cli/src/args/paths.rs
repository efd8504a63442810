//! Paths that are written into findings, reports and commands.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

/// A path that is written into such a text. These are UTF-8, so the path must be UTF-8, too.
pub(super) fn named_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(utf8)
}

/// The same for a folder that files are written to.
pub(super) fn output_folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|name| {
        if name == "-" {
            return Err("it takes a folder, not standard output (./- names a folder like that)");
        }
        utf8(name)
    })
}

fn utf8(name: OsString) -> Result<PathBuf, &'static str> {
    const PROBLEM: &str = "not valid UTF-8, and reports and commands couldn't name it";
    name.into_string().map(PathBuf::from).map_err(|_| PROBLEM)
}
