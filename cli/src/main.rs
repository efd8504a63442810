//! The `jitterbug` program: arguments, progress, exit status.

#![forbid(unsafe_code)]

mod args;
mod bed;
mod boots;
mod confine;
mod console;
mod ctl;
mod doctor;
mod document;
mod engine;
mod experiment;
mod explain;
mod fault_counts;
mod file;
mod finding_folder;
mod gdb;
mod guest;
mod hunt;
mod input;
mod keys;
mod list;
mod manual;
mod on_hang;
mod points;
mod progress;
mod races;
mod replay;
mod report;
mod reproduce;
mod run;
mod scripts;
mod signals;
mod socket;
mod status;
mod tell;
mod terminal;
mod trace;
mod trial;
mod typing;
mod watching;
mod writer;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use nix::sys::signal::{SigSet, Signal};
use tracing_subscriber::filter::LevelFilter;

use args::{Cli, Command};
use status::Status;

fn main() -> ExitCode {
    // With SIGXFSZ blocked, exceeding the limit on file sizes (RLIMIT_FSIZE) is an error of the
    // write, and nothing is lost. It is blocked before any thread is started, so that all threads
    // inherit this. Blocking a single valid signal can't fail.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
    writer::begin();
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(&error));
    log_to_stderr(cli.log_level());
    let result = match cli.bed.filter(|_| cli.command.needs_a_host()) {
        Some(host) => bed::run(host, &cli),
        None => here(&cli).map(ExitCode::from),
    };
    let status = result.unwrap_or_else(|error| {
        tell::user(&format!("jitterbug: {error:#}"));
        status::of(&error).into()
    });
    writer::finish();
    status
}

/// Ends the program with clap's message about the arguments. clap doesn't say which argument isn't
/// UTF-8, so this does.
fn refuse(error: &clap::Error) -> ! {
    let is_text = |argument: &OsString| argument.to_str().is_some();
    match std::env::args_os().find(|argument| !is_text(argument)) {
        Some(argument) if error.kind() == ErrorKind::InvalidUtf8 => {
            let argument = argument.display();
            tell::user(&format!(
                "jitterbug: {argument}: not valid UTF-8: give a name or a text that is; a file can be \
                 copied or linked to one"
            ));
            writer::finish();
            std::process::exit(Status::Input as i32);
        }
        _ => error.exit(),
    }
}

/// Runs the command on this machine.
fn here(cli: &Cli) -> anyhow::Result<Status> {
    match &cli.command {
        Command::Run(args) => run::run(cli, args),
        Command::Hunt(args) => hunt::run(cli, args),
        Command::Races(args) => races::run(cli, args),
        Command::Replay(args) => replay::run(cli, args),
        Command::Explain(args) => explain::run(cli, args),
        Command::Experiment(command) => experiment::run(cli, command),
        Command::Ctl(args) => ctl::run(args),
        Command::Guests(args) => list::run(args),
        Command::Probes(args) => points::run(cli, args),
        Command::Doctor(args) => doctor::run(cli, args),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { folder } => manual::pages(folder),
    }
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .without_time()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| writer::Log)
        .init();
}
