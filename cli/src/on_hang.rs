//! `--on-hang`: what is done with a hung machine before its run ends.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use inspect::Inspector;
use inspect::monitor::{Command, Monitor};
use inspect::seen::Seen;
use vmm::parallel::{NotRunning, Remote, VcpuState};

/// After an NMI the guest may print until it has done nothing for this time.
const SILENCE: Duration = Duration::from_secs(1);
/// The most time that it gets.
const MAX_REACTION: Duration = Duration::from_secs(10);
/// The interval at which the guest is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What is done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnHang(Vec<Action>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Stacks,
    Nmi,
    Dump(PathBuf),
}

/// A vCPU of a hung machine.
pub(crate) struct HungVcpu {
    pub(crate) state: VcpuState,
    pub(crate) seen: Option<Seen>,
}

/// What a hung machine showed before anything was done with it, and the dumps that were made.
#[derive(Default)]
pub(crate) struct Examined {
    pub(crate) vcpus: Vec<HungVcpu>,
    pub(crate) dumps: Vec<PathBuf>,
}

impl FromStr for OnHang {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let action = |action: &str| match action.split_once('=') {
            None if action == "stacks" => Ok(Action::Stacks),
            None if action == "nmi" => Ok(Action::Nmi),
            Some(("dump", file)) if !file.is_empty() => Ok(Action::Dump(file.into())),
            _ => Err(format!("`{action}` is none of stacks, nmi, dump=FILE")),
        };
        text.split(',').map(action).collect::<Result<_, _>>().map(Self)
    }
}

impl OnHang {
    /// The files to which the machine is dumped.
    pub(crate) fn dumps(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|action| match action {
            Action::Dump(path) => Some(path.as_path()),
            Action::Stacks | Action::Nmi => None,
        })
    }

    /// Fails if no hang can be found, or if a dump has no folder.
    pub(crate) fn check(&self, watchdog: Option<Duration>) -> Result<()> {
        if watchdog.is_none() {
            bail!("--on-hang: this guest has no watchdog, which finds hangs: give --watchdog TIME");
        }
        for path in self.dumps() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                bail!("--on-hang dump={}: there is no such folder", path.display());
            }
        }
        Ok(())
    }

    /// Looks at the hung machine, does what is to be done, and prints it.
    pub(crate) fn examine(
        &self,
        remote: &Remote,
        inspector: &Arc<Inspector>,
        print: impl Fn(&str),
    ) -> Examined {
        let mut examined = Examined::default();
        if let Ok(vcpus) = look(remote, inspector) {
            examined.vcpus = vcpus;
        }
        let monitor = Monitor::new(remote.clone(), inspector.clone(), || {});
        for action in &self.0 {
            let done = match action {
                Action::Stacks => monitor
                    .execute(&Command::Stacks)
                    .map(|text| print(&format!("jitterbug: the hung machine's stacks:\n{}", text.trim_end()))),
                Action::Nmi => monitor.execute(&Command::Nmi(None)).map(|text| {
                    print(&format!(
                        "jitterbug: {}; the guest has time until it has been silent for {SILENCE:?}, at \
                         most {MAX_REACTION:?}",
                        text.trim_end()
                    ));
                    wait_for_silence(remote);
                }),
                Action::Dump(path) => monitor.dump(path).map(|path| examined.dumps.push(path)),
            };
            if let Err(refusal) = done {
                print(&format!("jitterbug: --on-hang {}: {refusal}", action.name()));
            }
        }
        while remote.status().is_ok_and(|status| !status.standstills.is_empty()) {
            thread::sleep(POLL_INTERVAL);
        }
        examined
    }
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Self::Stacks => "stacks",
            Self::Nmi => "nmi",
            Self::Dump(_) => "dump",
        }
    }
}

fn look(remote: &Remote, inspector: &Arc<Inspector>) -> Result<Vec<HungVcpu>, NotRunning> {
    let (sampled, inspector) = (remote.sampled_rips()?, inspector.clone());
    remote.when_stopped(move |machine| {
        let look = |(state, sampled): (&VcpuState, &Vec<u64>)| HungVcpu {
            state: *state,
            seen: Seen::of(state, sampled, machine.memory, &inspector),
        };
        machine.vcpus.iter().zip(&sampled).map(look).collect()
    })
}

/// Waits until the guest does nothing more that can be seen, or the run ends. A pause doesn't
/// count.
fn wait_for_silence(remote: &Remote) {
    let (mut exits, mut silent) = (Vec::new(), Instant::now());
    let mut left = MAX_REACTION;
    while let Ok(status) = remote.status() {
        let is_moving = status.standstills.is_empty();
        if !is_moving || status.exits != exits {
            (exits, silent) = (status.exits, Instant::now());
        }
        if silent.elapsed() >= SILENCE || left.is_zero() {
            return;
        }
        thread::sleep(POLL_INTERVAL);
        if is_moving {
            left = left.saturating_sub(POLL_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_is_a_list_in_order() {
        let list: OnHang = "nmi,stacks,dump=a=b,nmi".parse().unwrap();
        let dump = Action::Dump("a=b".into());
        assert_eq!(list.0, [Action::Nmi, Action::Stacks, dump, Action::Nmi]);
        assert_eq!(list.dumps().collect::<Vec<_>>(), [Path::new("a=b")]);
        for wrong in ["", "nmi,", "dump", "dump=", "stacks=1", "Nmi"] {
            let error = wrong.parse::<OnHang>().unwrap_err();
            assert!(error.contains("none of stacks, nmi, dump=FILE"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_could_never_be_done_is_refused_at_once() {
        let list: OnHang = "stacks,dump=/nowhere/at/all".parse().unwrap();
        let error = |watchdog| list.check(watchdog).unwrap_err().to_string();
        assert!(error(None).contains("--watchdog TIME"));
        assert!(error(Some(SILENCE)).contains("no such folder"));
        assert!("dump=here".parse::<OnHang>().unwrap().check(Some(SILENCE)).is_ok());
    }
}
