//! Paths that findings, reports and commands name.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

/// A path that is written down. All of what is written is UTF-8, so this has to be.
pub(super) fn named_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(utf8)
}

/// The same for a folder that is written to.
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
