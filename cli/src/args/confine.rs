//! What a command gives up once it is set up.

use clap::Args;

/// Options that turn off what confines the program.
#[derive(Debug, Args)]
pub(crate) struct ConfineArgs {
    /// Don't limit the program's own system calls to those that it needs (docs/security.md)
    #[arg(long)]
    pub(crate) no_seccomp: bool,

    /// Don't limit the files that the program opens to those that the command names
    /// (docs/security.md)
    #[arg(long)]
    pub(crate) no_landlock: bool,
}
