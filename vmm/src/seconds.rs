//! Serialises times as seconds.

use std::time::Duration;

use serde::Serializer;

/// Serialises a time as a number of seconds, with a fraction.
pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}
