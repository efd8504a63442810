//! A VP script as a tree of lists and atoms, before names are resolved.

use std::fmt;

use crate::sexpr::Sexpr;
use crate::source::{Literal, Span};

/// A list or an atom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's place in the script.
    pub span: Span,
    /// The node's kind and contents.
    pub kind: NodeKind,
}

/// The kind and contents of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A number.
    Integer(u64),
    /// A name or operator. An atom that begins like a number but isn't one, such as `1.0`, is a
    /// word, too.
    Word(String),
    /// A string.
    Literal(Literal),
    /// The nodes between two parentheses.
    List(Vec<Node>),
}

impl Node {
    /// The node as an expression that can be printed over several lines.
    pub(crate) fn sexpr(&self) -> Sexpr {
        match &self.kind {
            NodeKind::List(list) => Sexpr::List(list.iter().map(Self::sexpr).collect()),
            _ => Sexpr::Word(self.to_string()),
        }
    }
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
