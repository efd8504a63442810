//! The `jitterbug` program: arguments, progress, exit status.

mod again;
mod args;
mod bed;
mod console;
mod doctor;
mod engine;
mod explain;
mod file;
mod guest;
mod hunt;
mod list;
mod points;
mod progress;
mod replay;
mod report;
mod run;
mod scripts;
mod status;
mod tell;
mod trace;
mod trial;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use args::{Cli, Command};
use status::Status;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_level());
    let result = if cli.bed { bed::run(&cli) } else { here(&cli).map(ExitCode::from) };
    match result {
        Ok(status) => status,
        Err(error) => {
            tell::user(&format!("jitterbug: {error:#}"));
            status::of(&error).into()
        }
    }
}

/// Does what was asked for, on this machine.
fn here(cli: &Cli) -> anyhow::Result<Status> {
    match &cli.command {
        Command::Run(args) => run::run(cli, args),
        Command::Hunt(args) => hunt::run(cli, args),
        Command::Replay(args) => replay::run(cli, args),
        Command::Explain(args) => explain::run(cli, args),
        Command::Guests(args) => list::run(args),
        Command::Probes(args) => points::run(cli, args),
        Command::Doctor(args) => doctor::run(cli, args),
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
        .with_writer(io::stderr)
        .init();
}
