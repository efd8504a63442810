//! The scripts of a command, and the options for their output.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use probes::passes::{self, Pass};

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// A script to run on every vCPU, in VP (`.vp`) or Emmett (`.emt`) (may be given more than
    /// once)
    #[arg(long, value_name = "FILE")]
    pub(crate) probe: Vec<PathBuf>,

    /// Code to run on every vCPU: VP if it begins with a parenthesis, else Emmett
    #[arg(short = 'e', value_name = "CODE")]
    pub(crate) code: Vec<String>,

    /// Give another value to a macro, constant or variable that the scripts define (may be given
    /// more than once)
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,

    /// Put the time and the vCPU before each line that scripts print: seconds since the run's
    /// start, in virtual time in a replay
    #[arg(long)]
    pub(crate) timestamps: bool,

    /// Keep the last LINES lines of each vCPU, and print them only if the run fails
    #[arg(long, value_name = "LINES", value_parser = lines)]
    pub(crate) ring: Option<usize>,

    /// Print aggregates whose key is a stack as folded stacks for flame-graph tools, over all runs,
    /// on standard output (the guest's console then goes to standard error) or into FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) folded: Option<PathBuf>,

    /// Allow scripts to change what the guest does, and to write dumps: delayus, injectnmi, setreg,
    /// poke, pokephys, stopvm, suspendvm, dump (docs/probes.md; in a replay only dump)
    #[arg(long)]
    pub(crate) destructive: bool,

    /// Write what vCPUs did, and the firings of probes, as a trace that Perfetto opens: of the
    /// first run that fails, or else of the last run
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Read VP strictly as in its manual: no `VProbe` for `vprobe`, no repair of a lost backslash
    #[arg(long)]
    pub(crate) strict_vp: bool,

    /// Print what a pass made of the scripts, and end without running the guest (docs/passes.md).
    /// `help` lists the passes
    #[arg(long, value_name = "PASS", value_parser = PassParser, conflicts_with = "json")]
    pub(crate) dump_pass: Option<Pass>,

    /// An ELF file with the guest's symbols, a list of symbols (System.map, kallsyms, or the output
    /// of `x` in the Windows debugger), or `none` [default: the guest's image]
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,
}

impl ProbeArgs {
    /// Fails if folded stacks would go to a standard output that has another use.
    pub(crate) fn check_output(&self, json: bool, explains: bool) -> anyhow::Result<()> {
        let taken = [(json, "the report of --json"), (explains, "the explanation")];
        match taken.into_iter().find(|(taken, _)| *taken && self.take_output()) {
            Some((_, what)) => {
                bail!("--folded: standard output is for {what}: give a file, --folded=FILE")
            }
            None => Ok(()),
        }
    }

    /// Fails if a name is given two values.
    pub(crate) fn check_settings(&self) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        match self.set.iter().find(|(name, _)| !names.insert(name)) {
            Some((name, _)) => bail!("--set {name}: it is given twice"),
            None => Ok(()),
        }
    }

    /// Whether `--symbols none` was given.
    pub(crate) fn is_nameless(&self) -> bool {
        self.symbols.as_deref() == Some(Path::new("none"))
    }

    /// Whether folded stacks go to standard output.
    pub(crate) fn take_output(&self) -> bool {
        self.folded.as_deref().is_some_and(|path| path == Path::new("-"))
    }

    /// The files that are written.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let folded = self.folded.as_deref().filter(|_| !self.take_output());
        folded.into_iter().chain(self.trace.as_deref()).collect()
    }

    /// The first option that was given and has a meaning for scripts only.
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

/// The name of a pass. Another name gets a list of all passes.
#[derive(Clone, Debug)]
struct PassParser;

impl TypedValueParser for PassParser {
    type Value = Pass;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Pass, clap::Error> {
        let name = value.to_string_lossy();
        if name == "help" {
            return Err(help());
        }
        name.parse().map_err(|error| {
            let message = format!("--dump-pass: {error}\n");
            clap::Error::raw(ErrorKind::InvalidValue, message).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |pass: Pass| PossibleValue::new(pass.name()).help(pass.summary());
        Some(Box::new(Pass::ALL.into_iter().map(value)))
    }
}

/// The list of all passes, as clap prints help: on standard output, with status 0.
fn help() -> clap::Error {
    let command = clap::Command::new("passes").override_help(passes::list() + "\n");
    match command.try_get_matches_from(["passes", "--help"]) {
        Err(help) => help,
        // clap always answers `--help` with an error of this kind.
        Ok(_) => clap::Error::new(ErrorKind::DisplayHelp),
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
