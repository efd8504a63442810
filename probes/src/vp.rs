//! VP, the Lisp-like language of `VProbes`. The [`lexer`] splits text into tokens, the [`parser`]
//! builds a tree, and the [`checker`] turns the tree into IR. [`crate::passes`] runs them.

pub mod checker;
mod declared;
pub mod dialect;
mod infer;
pub mod lexer;
pub mod parser;
pub mod tree;

pub use crate::front::Dialect;

#[cfg(test)]
mod tests;
