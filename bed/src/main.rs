//! Runs any program in the test bed, for `tests/bed`. `jitterbug --bed` doesn't need this program.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bed::{Error, Host, Job, Parts};
use clap::Parser;

/// Runs a program in the hardware-like test bed (docs/bed.md).
#[derive(Parser)]
struct Cli {
    /// The host to emulate
    #[arg(long, value_enum, default_value_t)]
    bed: Host,

    /// A file or a folder to carry in (may be given more than once)
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,

    /// A folder whose new files are carried out
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,

    /// Carry in the bed's own kernel, busybox and virtio drivers as files as well, and name them by
    /// the variables `JITTERBUG_E2E_KERNEL`, `JITTERBUG_E2E_BUSYBOX` and `JITTERBUG_E2E_DRIVERS`
    #[arg(long)]
    linux: bool,

    /// Build the kernel modules in this folder for the bed's kernel, carry them in, and name their
    /// folder by the variable `JITTERBUG_E2E_KERNEL_MODULES`
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,

    /// An environment variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(OsString, OsString)>,

    /// Give up after this time
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    limit: Option<Duration>,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            say(&format!("in-bed: {error}{}", cause.unwrap_or_default()));
            ExitCode::from(3)
        }
    }
}

fn variable(text: &str) -> Result<(OsString, OsString), String> {
    let (name, value) = text.split_once('=').ok_or("not like NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn run(cli: Cli) -> Result<i32, Error> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|source| Error::Io { path: path.clone(), source })
    };
    let parts = Parts::get(cli.bed, say)?;
    let mut command = cli.command.into_iter();
    let mut job = Job {
        program: absolute(&command.next().unwrap_or_default().into())?,
        arguments: command.collect(),
        environment: cli.env,
        folder: absolute(&".".into())?,
        files: cli.file.iter().map(absolute).collect::<Result<_, _>>()?,
        results: cli.results.as_ref().map(absolute).transpose()?,
        limit: cli.limit,
    };
    if cli.linux {
        let named = [
            ("JITTERBUG_E2E_KERNEL", parts.kernel()),
            ("JITTERBUG_E2E_BUSYBOX", parts.busybox()),
            ("JITTERBUG_E2E_DRIVERS", parts.drivers()),
        ];
        for (name, path) in named {
            job.environment.push((name.into(), path.clone().into()));
            job.files.push(path);
        }
    }
    if let Some(sources) = &cli.modules {
        let modules = bed::kernel_modules(&parts, &absolute(sources)?, say)?;
        let variable = "JITTERBUG_E2E_KERNEL_MODULES".into();
        job.environment.push((variable, modules.clone().into()));
        job.files.push(modules);
    }
    bed::run(&parts, &job, &mut || false)
}
