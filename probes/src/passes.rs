//! The passes that make instructions of scripts, and the pipeline that runs them.
//!
//! | pass | input | output for VP | output for Emmett |
//! |---|---|---|---|
//! | [`Pass::Lex`] | a script's text | [`Tokens`][vp-tokens] | [`Placed`][tokens] tokens |
//! | [`Pass::Preprocess`] | tokens | | tokens without directives and macros |
//! | [`Pass::Parse`] | tokens | [`Node`][vp-tree]s | [`Item`][tree]s |
//! | [`Pass::Declare`] | all trees | [`Declared`][vp-declared] | [`Declared`][declared] |
//! | [`Pass::Infer`] | what is declared | [`Inferred`][vp-inferred] | [`Inferred`][inferred] |
//! | [`Pass::Check`] | trees with all types | [`Program`][ir] | the same program |
//! | [`Pass::Generate`] | the program | [`Code`][code] | the same code |
//!
//! [vp-tokens]: crate::vp::lexer::Tokens
//! [tokens]: crate::emmett::lexer::Placed
//! [vp-tree]: crate::vp::tree::Node
//! [tree]: crate::emmett::tree::Item
//! [vp-declared]: crate::vp::checker::Declared
//! [declared]: crate::emmett::checker::Declared
//! [vp-inferred]: crate::vp::checker::Inferred
//! [inferred]: crate::emmett::checker::Inferred
//! [ir]: crate::ir::Program
//! [code]: crate::code::Code
//!
//! Every caller that loads scripts uses this pipeline, through [`Script`](crate::Script).

mod dump;
mod pipeline;

use std::fmt;
use std::str::FromStr;

use inspect::suggest::nearest;

pub(crate) use dump::Dump;
pub(crate) use pipeline::{Loaded, has_error, run};

use crate::source::Language;

/// A pass, in the order in which the pipeline runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Splits text into tokens.
    Lex,
    /// Carries out directives such as `#define` and `#include`, and replaces macros. The files that
    /// a script includes are read and split into tokens here.
    Preprocess,
    /// Builds trees of tokens. It bounds how deep a script is nested.
    Parse,
    /// Reads the definitions outside functions and probes, and lays structures out. It bounds how
    /// much a script defines. For VP, it also looks up the points of the probes.
    Declare,
    /// Finds the types of functions in VP, and of names without a declaration in Emmett.
    Infer,
    /// Resolves the names in functions and probes, checks types, and lowers both to IR, in one
    /// walk. For Emmett, it also looks up the points of the probes.
    Check,
    /// Generates instructions, and calculates how much of the stacks each function and probe needs.
    Generate,
}

impl Pass {
    /// All passes, in order.
    pub const ALL: [Self; 7] = [
        Self::Lex,
        Self::Preprocess,
        Self::Parse,
        Self::Declare,
        Self::Infer,
        Self::Check,
        Self::Generate,
    ];

    /// The name of the pass, as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lex => "lex",
            Self::Preprocess => "preprocess",
            Self::Parse => "parse",
            Self::Declare => "declare",
            Self::Infer => "infer",
            Self::Check => "check",
            Self::Generate => "generate",
        }
    }

    /// What the pass makes of its input, in one sentence for users.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Lex => "splits each script into tokens",
            Self::Preprocess => {
                "carries out #define, #include and the like, and replaces macros (Emmett only)"
            }
            Self::Parse => "builds a tree of each script's tokens",
            Self::Declare => "reads definitions, and lays structures out",
            Self::Infer => {
                "finds the types of VP's functions, and of what Emmett uses without a declaration"
            }
            Self::Check => {
                "resolves names, checks types, and lowers functions and probes to typed IR"
            }
            Self::Generate => "generates the engine's instructions",
        }
    }

    /// Whether scripts in this language go through the pass.
    pub fn has(self, language: Language) -> bool {
        self != Self::Preprocess || language == Language::Emmett
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error about a name that no pass has. Displays the names of all passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPass {
    /// The name.
    pub name: String,
}

impl fmt::Display for NoPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no pass {}", self.name)?;
        if let Some(near) = nearest(&self.name, Pass::ALL.map(Pass::name)) {
            write!(f, "; did you mean {near}?")?;
        }
        write!(f, "\n{}", list())
    }
}

impl std::error::Error for NoPass {}

impl FromStr for Pass {
    type Err = NoPass;

    fn from_str(name: &str) -> Result<Self, NoPass> {
        let pass = Self::ALL.into_iter().find(|pass| pass.name() == name);
        pass.ok_or_else(|| NoPass { name: name.into() })
    }
}

/// The names of all passes, with a sentence each, in lines.
pub fn list() -> String {
    let line = |pass: Pass| format!("  {:<12}{}", pass.name(), pass.summary());
    format!("passes, in order:\n{}", Pass::ALL.map(line).join("\n"))
}
