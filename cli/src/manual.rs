//! Shell completions and man pages, generated from the definition of the command line.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::file::OutputFile;
use crate::status::Status;
use crate::tell;

/// The program's name.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: Shell) -> Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    tell::output(&String::from_utf8(script)?)?;
    Ok(Status::Clean)
}

/// Writes a man page for the program, and one for each command.
pub(crate) fn pages(folder: &Path) -> Result<Status> {
    if !folder.is_dir() {
        bail!("man {}: not a folder: create it first", folder.display());
    }
    let mut program = Cli::command().name(NAME);
    // This passes the program's global options on to the commands.
    program.build();
    let commands: Vec<_> = program.get_subcommands().filter(|it| it.get_name() != "help").collect();
    for command in commands {
        let name = format!("{NAME}-{}", command.get_name());
        write(folder, command.clone().name(name.clone()).display_name(name.clone()), &name)?;
    }
    write(folder, program.clone(), NAME)?;
    Ok(Status::Clean)
}

fn write(folder: &Path, command: clap::Command, name: &str) -> Result<()> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page).context("a man page can't be rendered")?;
    let path = folder.join(format!("{name}.1"));
    OutputFile::new("man", &path).write(|file| file.write_all(&page))
}
