//! VP, the Lisp-like language of `VProbes`: text to tree ([`parser`]) to program ([`checker`]).

pub mod checker;
pub mod dialect;
pub mod lexer;
pub mod parser;
pub mod tree;
pub mod vocabulary;

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::ir::Program;
use crate::source::{Source, Span};

pub use dialect::Dialect;

/// Reads and checks scripts that share their names, and makes one program of them. Either all of
/// it is loaded or nothing. The list holds warnings, or the errors too if there is no program.
pub fn load(sources: &Arc<[Source]>, dialect: Dialect) -> (Option<Program>, Vec<Diagnostic>) {
    let mut forms = Vec::new();
    let mut errors = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let number = number as u32;
        if source.text.len() > Source::MAX_BYTES {
            let problem = format!("the script has {} bytes", source.text.len());
            let limit = format!("at most {} bytes are read", Source::MAX_BYTES);
            errors.push(Diagnostic::error(Span::new(number, 0, 0), problem, limit));
            continue;
        }
        match parser::parse(number, &source.text) {
            Ok(nodes) => forms.extend(nodes),
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { checker::check(sources, &forms, dialect) } else { (None, errors) }
}
