//! Emmett, the C-like language of `VProbes`: text to tokens ([`lexer`]), macros and includes
//! ([`preprocess`]), tokens to a tree ([`parser`]), tree to program ([`checker`]).
//!
//! There were four dialects of it, none of which accepts all of the others' scripts. This accepts
//! their union; docs/probes.md says where it differs on purpose.

pub mod checker;
pub mod lexer;
pub mod parser;
pub mod preprocess;
pub mod print;
pub mod tree;
pub mod types;
pub mod vocabulary;

use crate::diagnostic::Diagnostic;
use crate::front::Environment;
use crate::ir::Program;
use crate::source::Source;

/// Reads and checks scripts that share their names, and adds them to a program. Files that they
/// include are added to `sources`. The list holds warnings and errors.
pub fn load(
    scripts: &[u32],
    sources: &mut Vec<Source>,
    environment: &Environment,
    program: &mut Program,
) -> Vec<Diagnostic> {
    let mut items = Vec::new();
    let mut errors = Vec::new();
    let mut preprocessor = preprocess::Preprocessor::new(environment.parameters);
    let mut names = parser::TypeNames::default();
    for &number in scripts {
        let parsed =
            preprocessor.run(number, sources).and_then(|tokens| parser::parse(tokens, &mut names));
        match parsed {
            Ok(parsed) => items.extend(parsed),
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { checker::check(&items, sources, environment, program) } else { errors }
}

#[cfg(test)]
mod tests;
