//! What the front ends of both languages share.

pub(crate) mod aggregation;
pub(crate) mod comparison;
pub(crate) mod foreign;
pub(crate) mod parameters;
pub(crate) mod problems;
pub(crate) mod vocabulary;

use crate::point::Scope;
use parameters::Parameters;

/// How closely a script must keep to the manual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Accepts scripts as people wrote and pasted them.
    #[default]
    Lenient,
    /// Accepts only what the manual describes.
    Strict,
}

/// What both front ends need in addition to the sources.
#[derive(Clone, Copy, Debug)]
pub struct Environment<'a> {
    /// How closely VP scripts must follow the manual.
    pub dialect: Dialect,
    /// What the lookup of points and symbols depends on.
    pub scope: Scope<'a>,
    /// The values that the user sets.
    pub parameters: &'a Parameters,
}
