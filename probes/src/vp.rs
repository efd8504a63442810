//! VP, the Lisp-like language of `VProbes`: text to tree ([`parser`]) to program ([`checker`]).

pub mod checker;
pub mod dialect;
mod infer;
pub mod lexer;
pub mod parser;
pub mod tree;
pub mod vocabulary;

use crate::diagnostic::Diagnostic;
use crate::front::Environment;
use crate::ir::Program;
use crate::source::Source;

pub use dialect::Dialect;

/// Reads and checks scripts that share their names, and adds them to a program. The list holds
/// warnings and errors.
pub fn load<'a>(
    sources: impl Iterator<Item = (u32, &'a Source)>,
    environment: &Environment,
    program: &mut Program,
) -> Vec<Diagnostic> {
    let mut forms = Vec::new();
    let mut errors = Vec::new();
    for (number, source) in sources {
        match parser::parse(number, &source.text) {
            Ok(nodes) => forms.extend(nodes),
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { checker::check(&forms, environment, program) } else { errors }
}

#[cfg(test)]
mod tests;
