//! Loads scripts by the passes of the front ends.

use std::sync::Arc;

use super::{Options, Script};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::front::parameters::Parameters;
use crate::front::{Dialect, Environment};
use crate::passes::{self, Dump, Loaded, Pass};
use crate::point::Scope;
use crate::source::Source;

/// What a pass made of scripts.
#[derive(Clone, Debug)]
pub struct Dumped {
    /// The tokens, trees, IR or instructions, as lines of text, with a header for each part.
    pub text: String,
    /// The warnings so far.
    pub warnings: Diagnostics,
}

impl Script {
    /// Reads and checks sources. An error in any of them means that nothing is loaded. Sources in
    /// the same language share one set of names.
    pub fn load(sources: &[Source], options: &Options) -> Result<Self, Diagnostics> {
        let Loaded { code, mut list, sources } = run(sources, options, &mut Dump::default());
        let Some(code) = code else {
            if list.is_empty() {
                list.push(Diagnostic::general("the script can't be loaded"));
            }
            return Err(Diagnostics::new(sources, list));
        };
        let warnings = Diagnostics::new(sources, list);
        Ok(Self { code: Arc::new(code), warnings, options: options.clone() })
    }

    /// Runs the passes up to `pass` as [`Script::load`] would, and returns what `pass` made as
    /// text. An error in one of these passes means that there is no text.
    pub fn dump(sources: &[Source], options: &Options, pass: Pass) -> Result<Dumped, Diagnostics> {
        let mut dump = Dump::of(pass);
        let Loaded { list, sources, .. } = run(sources, options, &mut dump);
        let failed = passes::has_error(&list);
        let warnings = Diagnostics::new(sources, list);
        if failed { Err(warnings) } else { Ok(Dumped { text: dump.into_text(), warnings }) }
    }
}

fn run(sources: &[Source], options: &Options, dump: &mut Dump) -> Loaded {
    let environment = Environment {
        parameters: &Parameters::new(&options.parameters),
        dialect: if options.strict { Dialect::Strict } else { Dialect::Lenient },
        scope: Scope {
            mechanisms: options.mechanisms,
            symbols: options.symbols.as_deref(),
            repeatable: options.clock != crate::engine::Clock::Host,
            segments: Some(&options.segments),
            destructive: options.destructive,
        },
    };
    passes::run(sources, &environment, dump)
}
