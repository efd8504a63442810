//! Infers the types of names that scripts don't declare, such as the parameters of VP functions.
//!
//! Each such name is an unknown. Each use makes it equal to a type or to another unknown, in a
//! union-find structure (Hindley-Milner inference without polymorphism). Contradictions are ignored
//! here; the checker finds them later and reports their place.

use crate::ir::Type;

/// An unknown type, or one of the two known types.
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

    /// A new unknown.
    pub(crate) fn open(&mut self) -> Unknown {
        self.0.push(Entry::Open);
        Unknown(self.0.len() - 1)
    }

    fn root(&mut self, unknown: Unknown) -> usize {
        let mut at = unknown.0;
        while let Some(Entry::Same(next)) = self.0.get(at).copied() {
            // Halves the path, so that later look-ups are shorter.
            if let Some(Entry::Same(after)) = self.0.get(next).copied()
                && let Some(entry) = self.0.get_mut(at)
            {
                *entry = Entry::Same(after);
            }
            at = next;
        }
        at
    }

    /// Makes two types equal. If they contradict each other, nothing changes.
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

    /// The type of an unknown; `None` if no use determines it.
    pub(crate) fn known(&mut self, unknown: Unknown) -> Option<Type> {
        let root = self.root(unknown);
        match self.0.get(root) {
            Some(Entry::Known(known)) => Some(*known),
            _ => None,
        }
    }
}
