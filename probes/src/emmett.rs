//! Emmett, the C-like language of `VProbes`. The [`lexer`] splits text into tokens, [`preprocess`]
//! handles macros and includes, the [`parser`] builds a tree, and the [`checker`] turns the tree
//! into IR.
//!
//! Emmett had four dialects, none of which accepts all scripts of the others. This front end
//! accepts their union; docs/probes.md lists the intended differences.

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

/// Parses and checks scripts that share their names, and adds them to a program. Files that the
/// scripts include are added to `sources`. The list holds warnings and errors.
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
