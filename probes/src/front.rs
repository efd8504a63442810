//! Which language a source is in, and all sources to one program.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::ir::Program;
use crate::point::Scope;
use crate::source::{Language, Source, Span};
use crate::vp::{self, Dialect};

/// What both front ends need to know beside the sources.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment<'a> {
    /// How closely VP must keep to its manual.
    pub dialect: Dialect,
    /// What points and symbols there are.
    pub scope: Scope<'a>,
}

/// After so many errors the rest is not worth reading.
pub(crate) const MAX_ERRORS: usize = 20;

/// Reads and checks sources and makes one program of them. Either all of it is loaded or nothing.
/// The list holds warnings, or the errors too if there is no program.
pub(crate) fn load(
    sources: &Arc<[Source]>,
    environment: &Environment,
) -> (Option<Program>, Vec<Diagnostic>) {
    let mut program = Program::new(sources);
    let mut list = Vec::new();
    let of = |language: Language| {
        let numbered = (0_u32..).zip(sources.iter());
        numbered.filter(move |(_, source)| source.language() == language)
    };
    for (number, source) in (0_u32..).zip(sources.iter()) {
        if source.text.len() > Source::MAX_BYTES {
            let problem = format!("the script has {} bytes", source.text.len());
            let limit = format!("at most {} bytes are read", Source::MAX_BYTES);
            list.push(Diagnostic::error(Span::new(number, 0, 0), problem, limit));
        }
    }
    if list.is_empty() {
        list.extend(vp::load(of(Language::Vp), environment, &mut program));
    }
    let errors = |list: &[Diagnostic]| {
        list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    };
    if errors(&list) == 0 && program.probes.is_empty() {
        list.push(
            Diagnostic::general("there is no probe in this script, so nothing would ever run")
                .with_help("add a form such as (vprobe VMM1Hz (printf \"%d\\n\" VCPUID))"),
        );
    }
    // Definitions are checked before probes; the reader wants to go through the file once.
    list.sort_by_key(|diagnostic| {
        diagnostic.span.map_or((u32::MAX, 0), |span| (span.source, span.start))
    });
    ((errors(&list) == 0).then_some(program), list)
}
