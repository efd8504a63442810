//! What a user can ask for, as text.

use std::path::PathBuf;

use super::Refusal;

/// The list of commands.
pub const HELP: &str = "\
status      the time, whether the machine is paused, and the exits of each vCPU
stacks      the call stack of each vCPU
waits       what each vCPU does: where it is, and which memory its loop reads
pause       stop all vCPUs until `resume`
resume      let the vCPUs go on
nmi [VCPU]  send an NMI to one vCPU, or to all
dump FILE   write memory and registers to an ELF core file, for gdb, drgn and crash
quit        end the run as Ctrl-C does
help        list these commands
";

/// A command on a running machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tells how the run is.
    Status,
    /// Tells the call stack of each vCPU.
    Stacks,
    /// Tells what each vCPU does.
    Waits,
    /// Stops all vCPUs.
    Pause,
    /// Lets the vCPUs go on.
    Resume,
    /// Sends an NMI to this vCPU, or to all.
    Nmi(Option<u32>),
    /// Writes a dump to this file, or to `FILE.1` and so on if the file exists.
    Dump(PathBuf),
    /// Ends the run.
    Quit,
    /// Lists the commands.
    Help,
}

impl Command {
    /// Reads a command: a word, and its argument if it has one. The file of `dump` is the rest of
    /// the line.
    pub fn parse(line: &str) -> Result<Self, Refusal> {
        let usage = |problem: &str| Refusal::Usage(format!("{}: {problem}", shown(line.trim())));
        let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        let rest = rest.trim_start();
        let command = match word {
            "nmi" if rest.is_empty() => return Ok(Self::Nmi(None)),
            "nmi" => {
                let problem = "not the number of a vCPU: nmi [VCPU]";
                return rest.parse().map(|vcpu| Self::Nmi(Some(vcpu))).map_err(|_| usage(problem));
            }
            "dump" if rest.is_empty() => return Err(usage("which file? dump FILE")),
            "dump" => return Ok(Self::Dump(rest.into())),
            "status" => Self::Status,
            "stacks" => Self::Stacks,
            "waits" => Self::Waits,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "quit" => Self::Quit,
            "help" => Self::Help,
            "" => return Err(Refusal::Usage("no command; `help` lists the commands".into())),
            _ => return Err(usage("no such command; `help` lists the commands")),
        };
        if rest.is_empty() { Ok(command) } else { Err(usage("this command has no argument")) }
    }

    /// Whether the command stops all vCPUs for a while.
    pub fn stops_the_machine(&self) -> bool {
        match self {
            Self::Stacks | Self::Waits | Self::Pause | Self::Nmi(_) | Self::Dump(_) => true,
            Self::Status | Self::Resume | Self::Quit | Self::Help => false,
        }
    }
}

/// The beginning of what the user typed, for a message.
fn shown(text: &str) -> String {
    const MAX_SHOWN: usize = 60;
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown.escape_debug().to_string()
}
