//! A VP script as lists and atoms, before anything is known about names.

use crate::source::Span;

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

/// A string with its escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// The string.
    pub value: String,
    /// For each byte of the value, where it is in the source; then where the string ends.
    pub offsets: Vec<u32>,
}

impl Literal {
    /// Where bytes `start..end` of the value are in the source.
    pub fn span(&self, source: u32, start: usize, end: usize) -> Span {
        let at = |index: usize| self.offsets.get(index).or(self.offsets.last()).copied();
        let start = at(start).unwrap_or(0);
        Span { source, start, end: at(end).unwrap_or(start).max(start) }
    }
}
