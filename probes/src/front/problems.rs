//! What is wrong with a script, as its checker finds it.

use crate::diagnostic::{Diagnostic, Severity};

/// After so many errors the rest is not worth reading.
const MAX_ERRORS: usize = 20;

/// Errors and warnings in the order in which they were found, up to as many as anybody wants to see.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Diagnostic>,
    errors: usize,
}

/// How far a checker had got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    length: usize,
    errors: usize,
}

impl Problems {
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
            if self.is_full() {
                return;
            }
        } else if self.list.contains(&diagnostic) {
            // What is checked twice is told once.
            return;
        }
        self.list.push(diagnostic);
    }

    /// Whether there are more errors than anybody wants to see.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > MAX_ERRORS
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { length: self.list.len(), errors: self.errors }
    }

    /// Forgets what was found since.
    pub(crate) fn go_back(&mut self, mark: Mark) {
        self.list.truncate(mark.length);
        self.errors = mark.errors;
    }

    /// What was found last, if it is the only error since.
    pub(crate) fn only_since(&mut self, mark: Mark) -> Option<&mut Diagnostic> {
        (self.errors == mark.errors + 1).then(|| self.list.last_mut()).flatten()
    }

    /// All of it; that there are more, if there are.
    pub(crate) fn into_list(mut self) -> Vec<Diagnostic> {
        if self.is_full() {
            self.list.push(Diagnostic::general("there are more errors, which are not shown"));
        }
        self.list
    }
}
