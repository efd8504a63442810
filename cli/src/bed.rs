//! `--bed`: runs the same command in the test bed, an emulated machine with a real `kvm-amd` or
//! `kvm-intel`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bed::{Host, Job, Parts};
use experiments::Finding;
use vmm::disk::{DiskConfig, DiskMode};
use vmm::signals::Second;

use crate::args::{Cli, Command, ConsoleMode, MachineArgs, Pages, RunArgs};
use crate::on_hang::OnHang;
use crate::status::Status;
use crate::{guest, signals, tell};

/// The option that asks for the test bed, alone or with `=HOST` behind it; it is not passed on.
const OPTION: &[u8] = b"--bed";

/// Runs this command in the test bed. The exit status is that of the program inside.
pub(crate) fn run(host: Host, cli: &Cli) -> Result<ExitCode> {
    let signals = signals::take(Second::IsPassedOn)?;
    let arguments: Vec<OsString> =
        std::env::args_os().skip(1).filter(|argument| !asks_for_the_bed(argument)).collect();
    let results = results(cli)?;
    check_files(cli, results.as_deref())?;
    if matches!(&cli.command, Command::Run(args) if args.console == Some(ConsoleMode::Raw)) {
        bail!("--console raw: not with --bed: the machine there has no terminal");
    }
    if matches!(&cli.command, Command::Run(args) if args.control.ctl.is_some()) {
        bail!("--ctl: not with --bed: the socket would be in the machine there, out of reach");
    }
    if matches!(&cli.command, Command::Experiment(_)) {
        bail!("experiment: not with --bed: the campaign would be in the machine there");
    }
    let has_gdb = match &cli.command {
        Command::Run(args) => args.control.gdb.is_some(),
        Command::Replay(args) => args.gdb.is_some(),
        _ => false,
    };
    if has_gdb {
        bail!("--gdb: not with --bed: gdb can't connect to the machine there");
    }
    let parts = Parts::get(host, tell::user)?;
    let job = Job {
        program: std::env::current_exe().context("where this program is")?,
        files: files(cli, &arguments)?,
        arguments,
        environment: Vec::new(),
        folder: std::env::current_dir().context("the current folder")?,
        results,
        limit: None,
    };
    tell::user(&format!(
        "jitterbug: runs in the test bed: {} with {}; slower than hardware",
        host.emulator(),
        parts.kernel_package()?
    ));
    let ended = bed::run(&parts, &job, &mut || signals.arrived());
    // However this process was ended, the program inside gets SIGTERM.
    let interrupted = signals.end().map(Status::interrupted);
    match (ended, interrupted) {
        (Err(error @ bed::Error::Interrupted { .. }), Some(interrupted)) => {
            tell::user(&format!("jitterbug: {error}"));
            Ok(interrupted.into())
        }
        (Ok(status), Some(interrupted)) if status == Status::Terminated as i32 => {
            Ok(interrupted.into())
        }
        (ended, _) => Ok(ExitCode::from(u8::try_from(ended?).unwrap_or(u8::MAX))),
    }
}

fn asks_for_the_bed(argument: &OsStr) -> bool {
    let rest = argument.as_bytes().strip_prefix(OPTION);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

/// The files that the command reads: every argument that names a file, by itself or after `=`, and
/// the guest of a finding.
fn files(cli: &Cli, arguments: &[OsString]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for argument in arguments {
        let bytes = argument.as_bytes();
        let value = bytes.iter().position(|&byte| byte == b'=').map(|at| &bytes[at + 1..]);
        for name in [Some(bytes), value].into_iter().flatten() {
            let path = Path::new(std::ffi::OsStr::from_bytes(name));
            if path.is_file() {
                files.push(absolute(path)?);
            }
        }
    }
    // The file of a disk may have a mode behind its name. One that is missing is reported inside.
    for disk in disks(cli).iter().filter(|disk| disk.path.is_file()) {
        files.push(absolute(&disk.path)?);
    }
    let finding = match &cli.command {
        Command::Replay(args) => Some(&args.finding),
        Command::Explain(args) => Some(&args.finding),
        _ => None,
    };
    if let Some((path, Ok(finding))) = finding.map(|path| (path, Finding::read(path))) {
        for guest in guest::places(&finding, path) {
            files.push(absolute(&guest)?);
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// The folder in which the command writes files.
fn results(cli: &Cli) -> Result<Option<PathBuf>> {
    match &cli.command {
        Command::Hunt(args) => folder(&args.out),
        Command::Run(args) if args.explain => folder(args.out_folder()),
        // The shortest schedule is written beside the finding.
        Command::Explain(args) => Ok(absolute(&args.finding)?.parent().map(Path::to_owned)),
        Command::Run(args) => folder_of(&written(args)),
        Command::Races(args) => folder_of(&written_disks(&args.machine)),
        Command::Replay(args) => folder_of(&args.probing.files()),
        _ => Ok(None),
    }
}

/// The disks of the command's machine.
fn disks(cli: &Cli) -> &[DiskConfig] {
    match &cli.command {
        Command::Run(args) => &args.machine.disk,
        Command::Hunt(args) => &args.machine.disk,
        Command::Races(args) => &args.machine.disk,
        _ => &[],
    }
}

/// The files that `run` writes, besides those of `--explain`: also the disks that the guest's
/// writes change.
fn written(args: &RunArgs) -> Vec<&Path> {
    let mut files = args.probing.files();
    files.extend(args.control.on_hang.iter().flat_map(OnHang::dumps));
    files.extend(written_disks(&args.machine));
    files
}

fn written_disks(machine: &MachineArgs) -> Vec<&Path> {
    let disks = machine.disk.iter().filter(|disk| disk.mode == DiskMode::ReadWrite);
    disks.map(|disk| disk.path.as_path()).collect()
}

/// Fails if a file is to be written outside the folder of the results: only that folder is copied
/// out of the test bed.
fn check_files(cli: &Cli, results: Option<&Path>) -> Result<()> {
    let (pages, mut files) = match &cli.command {
        Command::Hunt(args) => (Some(args.pages.get()), Vec::new()),
        Command::Run(args) => (Some(args.pages.get()), written(args)),
        Command::Explain(args) => (Some(args.pages.get()), Vec::new()),
        Command::Replay(args) => (None, args.probing.files()),
        Command::Races(args) => (None, written_disks(&args.machine)),
        _ => (None, Vec::new()),
    };
    files.extend(pages.into_iter().flat_map(Pages::files));
    for file in files {
        if absolute(file)?.parent() != results {
            bail!(
                "{}: with --bed, give a file in the folder of the other results ({})",
                file.display(),
                results.map_or_else(|| "none here".into(), |folder| folder.display().to_string())
            );
        }
    }
    Ok(())
}

fn folder(out: &Path) -> Result<Option<PathBuf>> {
    let folder = absolute(out)?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("--out {}: can't be made", out.display()))?;
    Ok(Some(folder))
}

/// The folder of the first of these files.
fn folder_of(files: &[&Path]) -> Result<Option<PathBuf>> {
    let Some(file) = files.first() else { return Ok(None) };
    Ok(absolute(file)?.parent().map(Path::to_owned))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}
