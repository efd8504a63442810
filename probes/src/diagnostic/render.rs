//! Renders diagnostics as text: the line, a marker below it, and what was expected.

use std::fmt;
use std::ops::Range;

use ariadne::{CharSet, Config, IndexType, Label, Report, ReportKind};

use super::{Diagnostic, Severity};
use crate::source::{Source, Span};

/// The style of rendered diagnostics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// ASCII only.
    #[default]
    Ascii,
    /// Lines drawn with box-drawing characters.
    Unicode,
    /// Box-drawing characters and ANSI colours.
    Colour,
}

impl Style {
    fn config(self) -> Config {
        let characters = if self == Self::Ascii { CharSet::Ascii } else { CharSet::Unicode };
        Config::new()
            .with_char_set(characters)
            .with_color(self == Self::Colour)
            .with_index_type(IndexType::Byte)
    }
}

/// All diagnostics, separated by empty lines.
pub(super) fn all(sources: &[Source], list: &[Diagnostic], style: Style) -> String {
    let mut files = Files(
        sources
            .iter()
            .map(|source| (&*source.name, ariadne::Source::from(&*source.text)))
            .collect(),
    );
    let texts: Vec<String> = list
        .iter()
        .map(|diagnostic| without_trailing_blanks(&one(&mut files, sources, diagnostic, style)))
        .collect();
    texts.join("\n")
}

/// Removes the padding that ariadne adds to lines, which would be noise in logs and golden files.
fn without_trailing_blanks(text: &str) -> String {
    text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

fn one(files: &mut Files, sources: &[Source], diagnostic: &Diagnostic, style: Style) -> String {
    let kind = match diagnostic.severity {
        Severity::Error => ReportKind::Error,
        Severity::Warning => ReportKind::Warning,
    };
    let Some(span) = diagnostic.span.and_then(|span| within(span, sources)) else {
        let help = diagnostic.help.as_ref().map(|help| format!("\n  Help: {help}"));
        return format!("{kind}: {}{}\n", diagnostic.message, help.unwrap_or_default());
    };
    let mut labels = vec![(span.clone(), &diagnostic.label, kind)];
    if let Some((related, text)) = &diagnostic.related
        && let Some(related) = within(*related, sources)
    {
        labels.push((related, text, ReportKind::Advice));
    }
    // Without this order, ariadne shows a script twice if the related line comes first.
    labels.sort_by_key(|(span, ..)| (span.0, span.1.start));
    let labels = labels.into_iter().enumerate();
    let mut report = Report::build(kind, span)
        .with_config(style.config())
        .with_message(&diagnostic.message)
        .with_labels(labels.map(|(order, (span, text, kind))| label(span, text, kind, order)));
    if let Some(help) = &diagnostic.help {
        report = report.with_help(help);
    }
    let mut text = Vec::new();
    match report.finish().write(files, &mut text) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        // Writing to memory can't fail. If it did, the message would still be shown.
        Err(error) => format!("{kind}: {} ({error})\n", diagnostic.message),
    }
}

fn label(
    span: (usize, Range<usize>),
    text: &str,
    kind: ReportKind,
    order: usize,
) -> Label<(usize, Range<usize>)> {
    let colour = match kind {
        ReportKind::Error => ariadne::Color::Red,
        ReportKind::Warning => ariadne::Color::Yellow,
        _ => ariadne::Color::Blue,
    };
    let label = Label::new(span).with_color(colour).with_order(order as i32);
    if text.is_empty() { label } else { label.with_message(text) }
}

/// The span as ariadne needs it, limited to the text and extended to whole characters.
fn within(span: Span, sources: &[Source]) -> Option<(usize, Range<usize>)> {
    let text = &sources.get(span.source as usize)?.text;
    let start = text.floor_char_boundary((span.start as usize).min(text.len()));
    let end = text.ceil_char_boundary((span.end as usize).clamp(start, text.len()));
    Some((span.source as usize, start..end))
}

/// The scripts by number, since two scripts may have the same name.
struct Files<'a>(Vec<(&'a str, ariadne::Source<&'a str>)>);

impl<'a> ariadne::Cache<usize> for Files<'a> {
    type Storage = &'a str;

    fn fetch(&mut self, id: &usize) -> Result<&ariadne::Source<&'a str>, impl fmt::Debug> {
        self.0.get(*id).map(|(_, source)| source).ok_or("no such script")
    }

    fn display<'b>(&self, id: &'b usize) -> Option<impl fmt::Display + 'b> {
        self.0.get(*id).map(|(name, _)| (*name).to_owned())
    }
}
