//! A VP script as lists and atoms, before anything is known about names.

use std::fmt;

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

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            NodeKind::Integer(value) => write!(f, "{value}"),
            NodeKind::Word(word) => f.write_str(word),
            NodeKind::Literal(literal) => literal.fmt(f),
            NodeKind::List(list) => {
                f.write_str("(")?;
                for (index, node) in list.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" ")?;
                    }
                    node.fmt(f)?;
                }
                f.write_str(")")
            }
        }
    }
}
