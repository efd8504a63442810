//! Types of names that nobody declares: VP's parameters, Emmett's implicit variables.
//!
//! Each such name is an unknown; uses make it equal to a type or to another unknown (a union-find
//! structure, as in Hindley and Milner's inference without polymorphism). A contradiction is left
//! to the checker, which sees the place of it when it comes by.

use crate::ir::Type;

/// An unknown, or one of the two types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown(usize);

#[derive(Clone, Copy, Debug)]
enum Entry {
    Same(usize),
    Open,
    Known(Type),
}

/// All unknowns of a script.
#[derive(Debug)]
pub(crate) struct Types(Vec<Entry>);

impl Types {
    /// An integer.
    pub(crate) const INTEGER: Unknown = Unknown(0);
    /// A string.
    pub(crate) const STR: Unknown = Unknown(1);

    pub(crate) fn new() -> Self {
        Self(vec![Entry::Known(Type::Integer), Entry::Known(Type::Str)])
    }

    /// Something that nothing is known of.
    pub(crate) fn open(&mut self) -> Unknown {
        self.0.push(Entry::Open);
        Unknown(self.0.len() - 1)
    }

    fn root(&mut self, unknown: Unknown) -> usize {
        let mut at = unknown.0;
        while let Some(Entry::Same(next)) = self.0.get(at).copied() {
            // Half of the way is cut short each time.
            if let Some(Entry::Same(after)) = self.0.get(next).copied()
                && let Some(entry) = self.0.get_mut(at)
            {
                *entry = Entry::Same(after);
            }
            at = next;
        }
        at
    }

    /// Both are of one type. If they can't be, nothing changes.
    pub(crate) fn same(&mut self, a: Unknown, b: Unknown) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let (from, to) = match (self.0.get(a), self.0.get(b)) {
            (Some(Entry::Open), _) => (a, b),
            (_, Some(Entry::Open)) => (b, a),
            _ => return,
        };
        if let Some(entry) = self.0.get_mut(from) {
            *entry = Entry::Same(to);
        }
    }

    /// What it came to; `None` if nobody said.
    pub(crate) fn known(&mut self, unknown: Unknown) -> Option<Type> {
        let root = self.root(unknown);
        match self.0.get(root) {
            Some(Entry::Known(known)) => Some(*known),
            _ => None,
        }
    }
}
