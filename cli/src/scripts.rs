//! The probe scripts of a run.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use probes::{Options, Script, Source, Style, Symbols};

use crate::args::ProbeArgs;
use crate::tell;

/// Loads all scripts, or none: `None` if no script was given.
pub(crate) fn load(args: &ProbeArgs, symbols: Option<&Arc<Symbols>>) -> Result<Option<Script>> {
    let mut sources = Vec::new();
    for path in &args.probe {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--probe {name}: can't be read"))?;
        sources.push(Source::new(name, text));
    }
    for (number, code) in (1..).zip(&args.code) {
        sources.push(Source::new(format!("-e #{number}"), code.clone()));
    }
    if sources.is_empty() {
        return Ok(None);
    }
    let style = if io::stderr().is_terminal() { Style::Colour } else { Style::Ascii };
    let options = Options {
        strict: args.strict_vp,
        symbols: symbols.cloned(),
        ring: args.ring,
        ..Options::default()
    };
    let script = Script::load(&sources, &options).map_err(|diagnostics| {
        anyhow!("the script is not run\n{}", diagnostics.render(style).trim_end())
    })?;
    if !script.warnings().is_empty() {
        tell::user(script.warnings().render(style).trim_end());
    }
    Ok(Some(script))
}
