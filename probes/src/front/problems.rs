//! The list of errors and warnings that a checker finds in a script.

use crate::diagnostic::{Diagnostic, Severity};

/// The most errors that are reported. A checker stops after these.
const MAX_ERRORS: usize = 20;

/// Errors and warnings in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Diagnostic>,
    errors: usize,
}

/// A position in the list.
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
            // An expression may be checked twice, but a warning is listed once.
            return;
        }
        self.list.push(diagnostic);
    }

    /// Whether there are more errors than are reported.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > MAX_ERRORS
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { length: self.list.len(), errors: self.errors }
    }

    /// Removes everything found since `mark`.
    pub(crate) fn go_back(&mut self, mark: Mark) {
        self.list.truncate(mark.length);
        self.errors = mark.errors;
    }

    /// The last entry, if it is the only error found since `mark`.
    pub(crate) fn only_since(&mut self, mark: Mark) -> Option<&mut Diagnostic> {
        (self.errors == mark.errors + 1).then(|| self.list.last_mut()).flatten()
    }

    /// The whole list, with a note at its end if there were more errors.
    pub(crate) fn into_list(mut self) -> Vec<Diagnostic> {
        if self.is_full() {
            self.list.push(Diagnostic::general("there are more errors, which are not shown"));
        }
        self.list
    }
}
