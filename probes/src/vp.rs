//! VP, the Lisp-like language of `VProbes`. The [`parser`] turns text into a tree, the [`checker`]
//! turns the tree into IR.

pub mod checker;
mod declared;
pub mod dialect;
mod infer;
pub mod lexer;
pub mod parser;
pub mod tree;

use crate::diagnostic::Diagnostic;
use crate::front::Environment;
use crate::ir::Program;
use crate::source::Source;

pub use crate::front::Dialect;

/// Parses and checks scripts that share their names, and adds them to a program. The list holds
/// warnings and errors.
pub fn load(
    scripts: &[u32],
    sources: &[Source],
    environment: &Environment,
    program: &mut Program,
) -> Vec<Diagnostic> {
    let mut forms = Vec::new();
    let mut errors = Vec::new();
    for &number in scripts {
        let Some(source) = sources.get(number as usize) else { continue };
        match parser::parse(number, &source.text) {
            Ok(nodes) => forms.extend(nodes),
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { checker::check(&forms, sources, environment, program) } else { errors }
}

#[cfg(test)]
mod tests;
