//! A VP script as lists and atoms, before anything is known about names.

use crate::source::{Literal, Span};

/// A list or an atom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is.
    pub span: Span,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A number.
    Integer(u64),
    /// A name or operator; also what begins like a number and is none, such as `1.0`.
    Word(String),
    /// A string.
    Literal(Literal),
    /// What stands between parentheses.
    List(Vec<Node>),
}
