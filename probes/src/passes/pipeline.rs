//! Runs the passes: recognises the language of each source, and makes one program of all sources.

use std::sync::Arc;

use super::Pass;
use super::dump::{Dump, tokens};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::front::Environment;
use crate::ir::Program;
use crate::source::{Language, Source, Span};
use crate::{emmett, vp};

/// The result of loading sources.
pub(crate) struct Loaded {
    /// The instructions; `None` if the list contains an error, or not all passes were asked for.
    pub(crate) code: Option<Code>,
    /// Errors and warnings.
    pub(crate) list: Vec<Diagnostic>,
    /// The sources, and those that they include.
    pub(crate) sources: Arc<[Source]>,
}

/// Runs the passes on sources, up to the one that `dump` asks for. An error in any source means
/// that nothing is loaded.
pub(crate) fn run(sources: &[Source], environment: &Environment, dump: &mut Dump) -> Loaded {
    let mut sources = sources.to_vec();
    let scripts: Vec<u32> = (0..sources.len() as u32).collect();
    let mut program = Program::new(&Arc::from([]));
    let mut list = too_long(&sources);
    if list.is_empty() {
        let (vp, emmett): (Vec<u32>, Vec<u32>) = scripts.iter().partition(|&&number| {
            sources.get(number as usize).is_some_and(|source| source.language() == Language::Vp)
        });
        list = vp_passes(&vp, &sources, environment, &mut program, dump);
        list.extend(emmett_passes(&emmett, &mut sources, environment, &mut program, dump));
        // After another error, a definition may be missing only because of that error.
        if !has_error(&list) && dump.reaches(Pass::Check) {
            list.extend(environment.parameters.unused());
        }
    }
    if !has_error(&list) && program.probes.is_empty() && dump.reaches(Pass::Check) {
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
    if has_error(&list) {
        return Loaded { code: None, list, sources };
    }
    dump.made(Pass::Check, &scripts, &sources, || program.to_string());
    let code = dump.reaches(Pass::Generate).then(|| Code::new(program));
    if let Some(code) = &code {
        dump.made(Pass::Generate, &scripts, &sources, || code.to_string());
    }
    Loaded { code, list, sources }
}

/// Whether a list holds an error, so that nothing is loaded.
pub(crate) fn has_error(list: &[Diagnostic]) -> bool {
    list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// An error for each source that is too long to be read.
fn too_long(sources: &[Source]) -> Vec<Diagnostic> {
    let long = (0_u32..).zip(sources).filter(|(_, source)| source.text.len() > Source::MAX_BYTES);
    long.map(|(number, source)| {
        let problem = format!("the script has {} bytes", source.text.len());
        let limit = format!("at most {} bytes are read", Source::MAX_BYTES);
        Diagnostic::error(Span::new(number, 0, 0), problem, limit)
    })
    .collect()
}

/// Runs the passes of VP on scripts that share their names, and adds them to a program. The list
/// holds warnings and errors.
fn vp_passes(
    scripts: &[u32],
    sources: &[Source],
    environment: &Environment,
    program: &mut Program,
    dump: &mut Dump,
) -> Vec<Diagnostic> {
    let mut forms: Vec<vp::tree::Node> = Vec::new();
    let mut errors = Vec::new();
    for &number in scripts {
        let Some(source) = sources.get(number as usize) else { continue };
        let lexed: vp::lexer::Tokens = vp::lexer::lex(number, &source.text);
        dump.made(Pass::Lex, &[number], sources, || tokens(&lexed.list, number, sources));
        if !dump.reaches(Pass::Parse) {
            errors.extend(lexed.error.map(|error| *error));
            continue;
        }
        match vp::parser::parse(lexed) {
            Ok(parsed) => {
                dump.made(Pass::Parse, &[number], sources, || {
                    let mut text = String::new();
                    for node in &parsed {
                        node.sexpr().print(0, &mut text);
                    }
                    text
                });
                forms.extend(parsed);
            }
            Err(error) => errors.push(*error),
        }
    }
    if !errors.is_empty() || scripts.is_empty() || !dump.reaches(Pass::Declare) {
        return errors;
    }
    let declared = vp::checker::declare(&forms, sources, environment, program);
    dump.made(Pass::Declare, scripts, sources, || declared.to_string());
    if !dump.reaches(Pass::Infer) {
        return declared.into_problems();
    }
    let inferred = declared.infer();
    dump.made(Pass::Infer, scripts, sources, || inferred.to_string());
    if dump.reaches(Pass::Check) { inferred.check() } else { inferred.into_problems() }
}

/// Runs the passes of Emmett on scripts that share their names, and adds them to a program. Files
/// that the scripts include are added to `sources`. The list holds warnings and errors.
fn emmett_passes(
    scripts: &[u32],
    sources: &mut Vec<Source>,
    environment: &Environment,
    program: &mut Program,
    dump: &mut Dump,
) -> Vec<Diagnostic> {
    let mut items: Vec<emmett::tree::Item> = Vec::new();
    let mut errors = Vec::new();
    let mut preprocessor = emmett::preprocess::Preprocessor::new(environment.parameters);
    let mut names = emmett::parser::TypeNames::default();
    for &number in scripts {
        let mut parse = |dump: &mut Dump| -> Result<Vec<emmett::tree::Item>, Box<Diagnostic>> {
            let text = sources.get(number as usize).map_or("", |source| &source.text);
            let lexed: Vec<emmett::lexer::Placed> = emmett::lexer::lex(number, text)?;
            dump.made(Pass::Lex, &[number], sources, || tokens(&lexed, number, sources));
            if !dump.reaches(Pass::Preprocess) {
                return Ok(Vec::new());
            }
            let plain: Vec<emmett::lexer::Placed> = preprocessor.run(number, &lexed, sources)?;
            dump.made(Pass::Preprocess, &[number], sources, || tokens(&plain, number, sources));
            if !dump.reaches(Pass::Parse) {
                return Ok(Vec::new());
            }
            let parsed = emmett::parser::parse(plain, &mut names)?;
            dump.made(Pass::Parse, &[number], sources, || {
                let items: Vec<String> = parsed.iter().map(|item| format!("{item}\n")).collect();
                items.concat()
            });
            Ok(parsed)
        };
        match parse(dump) {
            Ok(parsed) => items.extend(parsed),
            Err(error) => errors.push(*error),
        }
    }
    if !errors.is_empty() || scripts.is_empty() || !dump.reaches(Pass::Declare) {
        return errors;
    }
    let declared = emmett::checker::declare(&items, sources, environment, program);
    dump.made(Pass::Declare, scripts, sources, || declared.to_string());
    if !dump.reaches(Pass::Infer) {
        return declared.into_problems();
    }
    let inferred = declared.infer();
    dump.made(Pass::Infer, scripts, sources, || inferred.to_string());
    if dump.reaches(Pass::Check) { inferred.check() } else { inferred.into_problems() }
}
