//! Scripts, and what they leave behind.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// A script to run on every vCPU, in VP (`.vp`) or Emmett (`.emt`) (may be given more than once)
    #[arg(long, value_name = "FILE")]
    pub(crate) probe: Vec<PathBuf>,

    /// Code to run on every vCPU: VP if it begins with a parenthesis, else Emmett
    #[arg(short = 'e', value_name = "CODE")]
    pub(crate) code: Vec<String>,

    /// Give a macro, a constant or a variable that the scripts define another value (may be given more
    /// than once)
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,

    /// Put the time and the vCPU in front of each line that scripts print: seconds since the run's
    /// start, virtual ones in a replay
    #[arg(long)]
    pub(crate) timestamps: bool,

    /// Keep the last so many lines of each vCPU, and print them only if the guest hangs or dies
    #[arg(long, value_name = "LINES", value_parser = lines)]
    pub(crate) ring: Option<usize>,

    /// Print aggregates whose key is a stack as folded stacks, which flame-graph tools read, all runs
    /// together, on standard output (the guest's console then goes to standard error) or into FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) folded: Option<PathBuf>,

    /// Let scripts change what the guest does, and write dumps: delayus, injectnmi, setreg, poke,
    /// pokephys, stopvm, suspendvm, dump (docs/probes.md; a replay only dumps)
    #[arg(long)]
    pub(crate) destructive: bool,

    /// Write what vCPUs did, and the probes' firings, as a trace that Perfetto opens: of the first run
    /// that fails, or of the last
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Take VP as its manual has it: no `VProbe` for `vprobe`, no repair of a lost backslash
    #[arg(long)]
    pub(crate) strict_vp: bool,

    /// An ELF file with the guest's symbols, a listing of them (System.map, kallsyms, or what the
    /// Windows debugger prints for `x`), or `none` [default: the guest's image]
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,
}

impl ProbeArgs {
    /// Refuses folded stacks on a standard output that is for something else.
    pub(crate) fn check_output(&self, json: bool, explains: bool) -> anyhow::Result<()> {
        let taken = [(json, "the report of --json"), (explains, "the explanation")];
        match taken.into_iter().find(|(taken, _)| *taken && self.take_output()) {
            Some((_, what)) => {
                bail!("--folded: standard output is for {what}: give a file, --folded=FILE")
            }
            None => Ok(()),
        }
    }

    /// Whether standard output is for folded stacks.
    pub(crate) fn take_output(&self) -> bool {
        self.folded.as_deref().is_some_and(|path| path == Path::new("-"))
    }

    /// Files that are written.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let folded = self.folded.as_deref().filter(|_| !self.take_output());
        folded.into_iter().chain(self.trace.as_deref()).collect()
    }

    /// The first option that was given and means something for scripts only.
    pub(crate) fn useless_without_a_script(&self) -> Option<&'static str> {
        let options = [
            ("--set", !self.set.is_empty()),
            ("--timestamps", self.timestamps),
            ("--ring", self.ring.is_some()),
            ("--folded", self.folded.is_some()),
            ("--strict-vp", self.strict_vp),
            ("--destructive", self.destructive),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}

/// A name and its value for `--set`.
fn setting(text: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| {
        let mut characters = name.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.into(), value.into())),
        _ => Err("not a name with its value, such as LIMIT=100".into()),
    }
}

/// A number of lines for `--ring`.
fn lines(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(lines @ 1..=1_000_000) => Ok(lines),
        _ => Err("not a number of lines from 1 to 1000000".into()),
    }
}
