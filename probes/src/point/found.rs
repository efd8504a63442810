//! The result of looking up a name: points, or why the name isn't one.

use std::sync::Arc;

use super::{Mechanisms, Point, Scope};

/// Why a name isn't a probe point.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPoint {
    /// A point of `VProbes` or jitterbug that is not available here.
    #[error("probe point {name} is not available: {reason}")]
    Missing {
        /// The name.
        name: String,
        /// Why the point isn't available.
        reason: &'static str,
    },
    /// The name begins like a point's, and the rest is wrong.
    #[error("{name} is no probe point: {problem}")]
    Malformed {
        /// The name.
        name: String,
        /// What is wrong with the name.
        problem: String,
    },
    /// No point has this name.
    #[error("unknown probe point {name}")]
    Unknown {
        /// The name.
        name: String,
        /// The most similar name of a point.
        suggestion: Option<&'static str>,
    },
}

pub(super) type Result<T> = std::result::Result<T, NoPoint>;

/// A point that a name in a script stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The point.
    pub point: Point,
    /// The name of this point alone: as written in the script, unless that is a pattern.
    pub name: Arc<str>,
}

pub(super) fn malformed(name: &str, problem: String) -> NoPoint {
    NoPoint::Malformed { name: name.into(), problem }
}

pub(super) fn available(name: &str, mechanism: Mechanisms, scope: &Scope) -> Result<()> {
    if scope.mechanisms.contains(mechanism) {
        return Ok(());
    }
    Err(NoPoint::Missing { name: name.into(), reason: mechanism.lack() })
}

/// Parses a decimal or hexadecimal number.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()
        }
        None if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().ok(),
        Some(_) | None => None,
    }
}
