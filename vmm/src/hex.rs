//! Addresses, registers and hashes in documents: strings such as `0xffffffff80000000`, because programs
//! that take every number for a `double` round those above 2^53.

use std::fmt::LowerHex;

use serde::{Serialize as _, Serializer};

/// A number.
#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
pub fn number<T: LowerHex, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{value:#x}"))
}

/// A number that may be missing.
#[allow(clippy::ref_option)] // as serde calls it
pub fn option<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    value.map(|value| format!("{value:#x}")).serialize(to)
}

/// Several numbers.
pub fn list<S: Serializer>(values: &[u64], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(|value| format!("{value:#x}")))
}
