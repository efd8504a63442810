//! Serialises addresses, registers and hashes in documents as strings such as `0xffffffff80000000`,
//! because programs that read every number as a `double` round numbers above 2^53.

use std::fmt::LowerHex;

use serde::{Serialize as _, Serializer};

/// Serialises a number.
#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
pub fn number<T: LowerHex, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{value:#x}"))
}

/// Serialises an optional number.
#[allow(clippy::ref_option)] // as serde calls it
pub fn option<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    value.map(|value| format!("{value:#x}")).serialize(to)
}

/// Serialises a list of numbers.
pub fn list<S: Serializer>(values: &[u64], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(|value| format!("{value:#x}")))
}
