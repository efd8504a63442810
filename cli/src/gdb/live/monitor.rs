//! The `monitor` commands: those of `jitterbug ctl`.

use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, outputln};
use inspect::monitor::Command;
use vmm::parallel::NotRunning;

use super::target::Live;

impl MonitorCmd for Live<'_> {
    fn handle_monitor_cmd(
        &mut self,
        command: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), NotRunning> {
        let command = Command::parse(&String::from_utf8_lossy(command));
        self.is_quitting |= command == Ok(Command::Quit);
        let answer = match command {
            Ok(Command::Pause) => {
                "gdb stops the machine and lets it go on: Ctrl-C and `continue`".to_owned()
            }
            Ok(Command::Help) => {
                let help = self.machine.monitor.execute(&Command::Help).unwrap_or_default();
                format!("{}\n{}", help.trim_end(), self.steps())
            }
            Ok(command) => match self.machine.monitor.execute(&command) {
                Ok(answer) => answer.trim_end().to_owned(),
                Err(refusal) => refusal.to_string(),
            },
            Err(refusal) => refusal.to_string(),
        };
        outputln!(out, "{answer}");
        Ok(())
    }
}

impl Live<'_> {
    /// How this host stops vCPUs.
    fn steps(&self) -> String {
        match self.debugger.capabilities() {
            None => "This host can't stop vCPUs at instructions: no breakpoints, no steps.".into(),
            Some(means) => format!(
                "This host: {means}. A step {}.",
                if means.block_interrupts {
                    "holds interrupts"
                } else {
                    "may lead into the handler of an interrupt"
                }
            ),
        }
    }
}
