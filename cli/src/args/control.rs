//! What examines and controls a machine while it runs.

use std::path::PathBuf;

use clap::Args;

use crate::gdb::Address;
use crate::on_hang::OnHang;

/// Options of `run` for a machine in hand.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// Make a Unix socket at which `jitterbug ctl SOCKET COMMAND` examines and controls the machine
    /// while it runs: status, stacks, waits, pause, resume, nmi, dump, quit (docs/control.md)
    #[arg(long, value_name = "SOCKET", conflicts_with = "dump_pass")]
    pub(crate) ctl: Option<PathBuf>,

    /// Wait for gdb on this TCP port of the loopback interface, or on a Unix socket (docs/gdb.md).
    /// The machine stands before its first instruction until gdb lets it go on. Time in which it is
    /// stopped for gdb doesn't count for --timeout and --watchdog
    #[arg(
        long,
        value_name = "SOCKET|PORT",
        conflicts_with_all = ["dump_pass", "repeat", "until_failure", "explain"]
    )]
    pub(crate) gdb: Option<Address>,

    /// What to do when the watchdog finds a hang, before the run ends: a list in order of `stacks`,
    /// `nmi` (the guest gets up to 10 s to print what it makes of it) and `dump=FILE`
    #[arg(long, value_name = "LIST", conflicts_with = "dump_pass")]
    pub(crate) on_hang: Option<OnHang>,
}

#[derive(Debug, Args)]
pub(crate) struct CtlArgs {
    /// The socket that `run --ctl` has made
    #[arg(value_name = "SOCKET")]
    pub(crate) socket: PathBuf,

    /// The command: `help` lists them all
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}
