//! Keeps what one pass made, as text.

use super::Pass;
use crate::source::{Source, Span};

/// What the pipeline is asked to show of a pass. By default that is nothing, and all passes run.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    wanted: Option<Pass>,
    /// What the pass made: the number of the first script that it was made of, and the text.
    parts: Vec<(u32, String)>,
}

impl Dump {
    /// A dump of a pass. Passes after it are not run.
    pub(crate) fn of(pass: Pass) -> Self {
        Self { wanted: Some(pass), parts: Vec::new() }
    }

    /// Whether the pipeline has to run a pass.
    pub(crate) fn reaches(&self, pass: Pass) -> bool {
        self.wanted.is_none_or(|wanted| wanted >= pass)
    }

    /// Keeps what a pass made, if the pass is the one that is wanted. `scripts` are the scripts
    /// that it was made of.
    pub(super) fn made(
        &mut self,
        pass: Pass,
        scripts: &[u32],
        sources: &[Source],
        text: impl FnOnce() -> String,
    ) {
        if self.wanted != Some(pass) {
            return;
        }
        let names: Vec<&str> = scripts
            .iter()
            .filter_map(|number| sources.get(*number as usize))
            .map(|source| source.name.as_str())
            .collect();
        let text = text();
        let text = if text.is_empty() { "(nothing)\n" } else { &text };
        let first = scripts.first().copied().unwrap_or_default();
        self.parts.push((first, format!("== {pass}: {}\n{text}", names.join(", "))));
    }

    /// All of what was kept, in the order of the scripts.
    pub(crate) fn into_text(mut self) -> String {
        self.parts.sort_by_key(|(number, _)| *number);
        let parts: Vec<String> = self.parts.into_iter().map(|(_, text)| text).collect();
        parts.join("\n")
    }
}

/// Tokens in lines, each with its place. `source` is the script: only places in other files have
/// the file's name.
pub(super) fn tokens<T: ToString>(list: &[(T, Span)], source: u32, sources: &[Source]) -> String {
    let mut places = Places { sources, last: None };
    let mut text = String::new();
    for (token, span) in list {
        let mut place = places.of(*span);
        if span.source != source
            && let Some(file) = sources.get(span.source as usize)
        {
            place = format!("{}:{place}", file.name);
        }
        text.extend([format!("{place:<8}"), token.to_string(), "\n".into()]);
    }
    text
}

/// Finds places of tokens. Tokens mostly come in the order of their script, so that the search goes
/// on from the last one.
struct Places<'a> {
    sources: &'a [Source],
    /// The source, byte offset, line and column of the place that was found last.
    last: Option<(u32, usize, (usize, usize))>,
}

impl Places<'_> {
    fn of(&mut self, span: Span) -> String {
        let Some(source) = self.sources.get(span.source as usize) else { return "?".into() };
        let offset = span.start as usize;
        let (from, mut place) = match self.last {
            Some((known, from, place)) if known == span.source && from <= offset => (from, place),
            _ => (0, (1, 1)),
        };
        for byte in source.text.as_bytes().get(from..offset).unwrap_or_default() {
            match byte {
                b'\n' => place = (place.0 + 1, 1),
                // Continuation bytes of a character have the form 0b10xx_xxxx.
                byte if byte & 0xc0 != 0x80 => place.1 += 1,
                _ => {}
            }
        }
        self.last = Some((span.source, offset, place));
        format!("{}:{}", place.0, place.1)
    }
}
