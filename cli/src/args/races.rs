//! The arguments of `races`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use vmm::jitter::Range;

use vmm::limits::{Watchdog, parse_time};

use super::{ConfineArgs, CriteriaArgs, MachineArgs};

#[derive(Debug, Args)]
pub(crate) struct RacesArgs {
    /// A guest of the catalogue (`jitterbug guests`), or a kernel (docs/kernels.md)
    #[arg(value_name = "GUEST|FILE")]
    pub(crate) guest: String,

    /// A variable of the guest: a symbol, a pattern such as 'lock_*', or an address; a number of
    /// bytes may follow, such as 0xffffffff81c00000:8. Of a running Linux kernel it can also be in
    /// a module, such as `virtio_blk:major` (may be given more than once)
    #[arg(long, value_name = "[MODULE:]VARIABLE[:BYTES]", required = true)]
    pub(crate) watch: Vec<String>,

    /// How long a vCPU is held behind an access to a watched variable: a time, or a range from
    /// which times are drawn
    #[arg(long, default_value = "100us..5ms", value_name = "TIME[..TIME]")]
    pub(crate) hold: Range,

    /// Watch by trapped pages even where data watchpoints would do: values are then known, and
    /// accesses are seen whatever linear address they use
    #[arg(long)]
    pub(crate) trap_pages: bool,

    /// The initial RAM disk of a Linux kernel
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    #[command(flatten)]
    pub(crate) criteria: CriteriaArgs,

    /// The seed of all random decisions; each further run takes the next seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// The number of runs
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,

    /// Report a hang after this time without a sign of life, or `off` [default: as with `run`]
    #[arg(long, value_name = "TIME")]
    pub(crate) watchdog: Option<Watchdog>,

    /// End a run after this time; that alone is not a failure
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<Duration>,

    /// An ELF file with the guest's symbols, or `none` [default: the guest's image]
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) confine: ConfineArgs,

    /// Print one JSON report on stdout
    #[arg(long)]
    pub(crate) json: bool,
}
