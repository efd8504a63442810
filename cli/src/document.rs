//! JSON documents for programs (docs/json.md).

use anyhow::{Context, Result};
use serde::Serialize;

use crate::tell;

/// The version of the documents' format. All documents have the same, because they share parts.
pub(crate) use experiments::cause::report::FORMAT;

/// Prints a document on standard output.
pub(crate) fn print_json(document: &impl Serialize) -> Result<()> {
    // The text is complete before any of it is printed.
    let mut text = serde_json::to_string_pretty(document).context("the report can't be made")?;
    text.push('\n');
    tell::output(&text).context("the report can't be written")
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
