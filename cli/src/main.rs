//! The `jitterbug` program: arguments, progress, exit status.

mod args;
mod console;
mod doctor;
mod guest;
mod hunt;
mod list;
mod progress;
mod replay;
mod report;
mod run;
mod scripts;
mod status;
mod tell;
mod trial;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    let result = match &cli.command {
        Command::Run(args) => run::run(&cli, args),
        Command::Hunt(args) => hunt::run(&cli, args),
        Command::Replay(args) => replay::run(&cli, args),
        Command::Guests(args) => list::run(args),
        Command::Doctor(args) => doctor::run(&cli, args),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            tell::user(&format!("jitterbug: {error:#}"));
            status::of(&error).into()
        }
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
