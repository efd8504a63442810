//! Errors and warnings about a script, as data. `render` turns them into text.

mod render;

use std::fmt;
use std::sync::Arc;

use crate::source::{Location, Source, Span};

pub use render::Style;

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The script is not loaded.
    Error,
    /// The script is loaded, but may not do what its author meant.
    Warning,
}

/// One error or warning about a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The problem, in one line.
    pub message: String,
    /// The place; `None` if the diagnostic isn't about a particular place.
    pub span: Option<Span>,
    /// The text at that place, mostly what was expected there.
    pub label: String,
    /// A second place that is related, and the text at that place.
    pub related: Option<(Span, String)>,
    /// Advice, if there is any.
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

    /// An error that isn't about a particular place.
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

    /// Adds advice.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds "did you mean" as advice, if there is a suggestion.
    #[must_use]
    pub fn suggesting(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.with_help(format!("did you mean {name}?")),
            None => self,
        }
    }

    /// Adds a second, related place.
    #[must_use]
    pub fn with_related(self, span: Span, label: impl Into<String>) -> Self {
        Self { related: Some((span, label.into())), ..self }
    }
}

/// The diagnostics about scripts that were loaded together. `Display` renders them without colour.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    sources: Arc<[Source]>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The diagnostics `list` about `sources`.
    pub fn new(sources: Arc<[Source]>, list: Vec<Diagnostic>) -> Self {
        Self { sources, list }
    }

    /// Whether there are no diagnostics.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The diagnostics, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The place of a diagnostic.
    pub fn location(&self, diagnostic: &Diagnostic) -> Option<Location> {
        diagnostic.span.map(|span| span.location(&self.sources))
    }

    /// The line and column of a place in these sources, such as a diagnostic's related place.
    pub fn place(&self, span: Span) -> Location {
        span.location(&self.sources)
    }

    /// All diagnostics as text.
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
