//! `VProbes` scripts on one bounded engine.
//!
//! [`vp`] and [`emmett`] parse a script and check it, which yields an [`ir::Program`]. An
//! [`engine::Engine`] runs the probes of that program for one vCPU. A [`Session`] attaches engines
//! to a machine by [`vmm::hook`]. Everything that the probes print goes through an [`Output`] to
//! one writer.

#![forbid(unsafe_code)]

pub mod aggregate;
pub mod bag;
pub mod bench;
#[cfg(test)]
mod cases_tests;
pub mod code;
pub mod destructive;
pub mod diagnostic;
#[cfg(test)]
mod documented;
pub mod emmett;
pub mod engine;
pub mod folded;
pub mod format;
mod front;
mod infer;
pub mod ir;
pub mod output;
pub mod passes;
pub mod point;
pub mod session;
mod sexpr;
pub mod source;
#[cfg(test)]
mod testing;
pub mod text;
pub mod trace;
pub mod variable;
pub mod vp;

pub use diagnostic::{Diagnostic, Diagnostics, Style};
pub use folded::Folded;
pub use output::{LineKind, Output, OutputLine, Sink};
pub use session::{Options, Script, Session};
pub use source::Source;
pub use trace::Trace;

/// The script of 2012 that prints every vCPU's stack once a second. It is as it was published: the
/// backslash of its `\n` is missing.
pub const ONE_GOOD_PROBE: &str = include_str!("../scripts/one-good-probe.vp");
