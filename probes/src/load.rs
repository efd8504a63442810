//! Recognises the language of each source, and loads all sources into one program.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::front::Environment;
use crate::ir::Program;
use crate::source::{Language, Source, Span};
use crate::{emmett, vp};

/// The result of loading sources.
pub(crate) struct Loaded {
    /// The program; `None` if the list contains an error.
    pub(crate) program: Option<Program>,
    /// Errors and warnings.
    pub(crate) list: Vec<Diagnostic>,
    /// The sources, and those that they include.
    pub(crate) sources: Arc<[Source]>,
}

/// Parses and checks sources, and makes one program of them. An error in any source means that
/// nothing is loaded.
pub(crate) fn load(sources: &[Source], environment: &Environment) -> Loaded {
    let mut sources = sources.to_vec();
    let mut program = Program::new(&Arc::from([]));
    let mut list = Vec::new();
    let is_error = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
    for (number, source) in (0_u32..).zip(&sources) {
        if source.text.len() > Source::MAX_BYTES {
            let problem = format!("the script has {} bytes", source.text.len());
            let limit = format!("at most {} bytes are read", Source::MAX_BYTES);
            list.push(Diagnostic::error(Span::new(number, 0, 0), problem, limit));
        }
    }
    if list.is_empty() {
        let (vp, emmett): (Vec<u32>, Vec<u32>) = (0..sources.len() as u32).partition(|&number| {
            sources.get(number as usize).is_some_and(|source| source.language() == Language::Vp)
        });
        list = vp::load(&vp, &sources, environment, &mut program);
        list.extend(emmett::load(&emmett, &mut sources, environment, &mut program));
        // After another error, a definition may be missing only because of that error.
        if !list.iter().any(is_error) {
            list.extend(environment.parameters.unused());
        }
    }
    if !list.iter().any(is_error) && program.probes.is_empty() {
        list.push(
            Diagnostic::general("there is no probe in this script, so nothing would ever run")
                .with_help("add a probe such as VMM1Hz printf(\"%d\\n\", VCPUID);"),
        );
    }
    // Definitions are checked before probes, but the list is in the order of the file.
    list.sort_by_key(|diagnostic| {
        diagnostic.span.map_or((u32::MAX, 0), |span| (span.source, span.start))
    });
    let sources: Arc<[Source]> = sources.into();
    program.sources = Arc::clone(&sources);
    let program = (!list.iter().any(is_error)).then_some(program);
    Loaded { program, list, sources }
}
