//! The arguments of `experiment`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use experiments::campaign::Shard;

use super::{ConfineArgs, parse_jobs, paths};

#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentCommand {
    /// Makes the runs of an experiment file; each is recorded in the campaign's folder
    Run(ExperimentRunArgs),
    /// Makes the runs that a campaign still lacks
    Resume(ExperimentResumeArgs),
    /// Reports what a campaign has found so far: status 1 if runs failed
    Report(ExperimentReportArgs),
    /// Puts campaigns together that were made with --shard
    Merge(ExperimentMergeArgs),
    /// Compares the rates of two campaigns: status 1 if a difference can be told
    Compare(ExperimentCompareArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentRunArgs {
    /// The experiment file (docs/experiments.md)
    #[arg(value_name = "FILE", value_parser = paths::named_path())]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) work: WorkArgs,

    /// The campaign's folder, which must have no campaign yet [default: the file's name with
    /// `.campaign`, in the current folder]
    #[arg(long, value_name = "DIR", value_parser = paths::output_folder())]
    pub(crate) out: Option<PathBuf>,

    /// Make only one part of the runs, such as 1/8 for the first of eight: each part has runs of
    /// all cells
    #[arg(long, value_name = "I/N", default_value_t = Shard::ALL)]
    pub(crate) shard: Shard,
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentResumeArgs {
    /// The campaign's folder
    #[arg(value_name = "DIR", value_parser = paths::named_path())]
    pub(crate) folder: PathBuf,

    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentReportArgs {
    /// The campaign's folder
    #[arg(value_name = "DIR", value_parser = paths::named_path())]
    pub(crate) folder: PathBuf,

    /// Write the report as an HTML page, too, which needs no other file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentMergeArgs {
    /// The folders of the campaigns
    #[arg(value_name = "DIR", value_parser = paths::named_path(), required = true)]
    pub(crate) folders: Vec<PathBuf>,

    /// The folder of the merged campaign, which must have no campaign yet
    #[arg(long, value_name = "DIR", value_parser = paths::output_folder())]
    pub(crate) out: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentCompareArgs {
    /// The folder of the first campaign
    #[arg(value_name = "A", value_parser = paths::named_path())]
    pub(crate) first: PathBuf,

    /// The folder of the second campaign
    #[arg(value_name = "B", value_parser = paths::named_path())]
    pub(crate) second: PathBuf,

    /// Compare all runs of each campaign together, instead of the cells with the same names
    #[arg(long)]
    pub(crate) whole: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the runs are made.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// The number of machines that run side by side, or `auto`: one for each CPU
    #[arg(long, default_value = "1", value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: u32,

    #[command(flatten)]
    pub(crate) confine: ConfineArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
