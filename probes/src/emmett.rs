//! Emmett, the C-like language of `VProbes`. The [`lexer`] splits text into tokens, [`preprocess`]
//! handles macros and includes, the [`parser`] builds a tree, and the [`checker`] turns the tree
//! into IR. [`crate::passes`] runs them.
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

#[cfg(test)]
mod tests;
