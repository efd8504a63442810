//! What is wrong with a script, as data. `render` turns it into text.

mod render;

use std::fmt;
use std::sync::Arc;

use crate::source::{Location, Source, Span};

pub use render::Style;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The script is not loaded.
    Error,
    /// The script is loaded; something about it may surprise.
    Warning,
}

/// One thing that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in a line.
    pub message: String,
    /// Where; `None` if it is about no place in particular.
    pub span: Option<Span>,
    /// What is said at that place: mostly what was expected.
    pub label: String,
    /// Another place that belongs to it, and what is there.
    pub related: Option<(Span, String)>,
    /// The way out, where there is one to name.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`; `label` says what was expected there.
    pub fn error(span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: Some(span),
            label: label.into(),
            related: None,
            help: None,
        }
    }

    /// A warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message, label) }
    }

    /// An error that has no place.
    pub fn general(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            label: String::new(),
            related: None,
            help: None,
        }
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds "did you mean", if there is something to suggest.
    #[must_use]
    pub fn suggesting(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.with_help(format!("did you mean {name}?")),
            None => self,
        }
    }

    /// Adds another place.
    #[must_use]
    pub fn with_related(self, span: Span, label: impl Into<String>) -> Self {
        Self { related: Some((span, label.into())), ..self }
    }
}

/// What was said about the scripts that were loaded together. It displays itself without colour.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    sources: Arc<[Source]>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The findings about `sources`.
    pub fn new(sources: Arc<[Source]>, list: Vec<Diagnostic>) -> Self {
        Self { sources, list }
    }

    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One after the other, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Where one of them is.
    pub fn location(&self, diagnostic: &Diagnostic) -> Option<Location> {
        diagnostic.span.map(|span| span.location(&self.sources))
    }

    /// All of them as text for people.
    pub fn render(&self, style: Style) -> String {
        render::all(&self.sources, &self.list, style)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Ascii).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests;
