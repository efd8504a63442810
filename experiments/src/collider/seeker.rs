//! Seeks variables in a machine that runs, watches them where they are found, and notices when they
//! are gone.

use std::fmt;
use std::ops::Range;

use super::variables::{Home, Variable, Variables};
use vmm::hook::Watch;

/// The most bytes that are watched without being asked for. A kernel's table of symbols does not
/// tell sizes: a variable may end long before the next symbol.
const MAX_BYTES: u64 = 4096;

/// A variable that is sought while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// The module that contains it, if the user has named one; without, it can be anywhere.
    pub module: Option<String>,
    /// Its name.
    pub name: String,
    /// How many bytes of it are meant, if the user has said so.
    pub bytes: Option<u64>,
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            Some(module) => write!(f, "{module}:{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Where a sought variable is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its linear addresses, up to the next symbol.
    pub(super) linear: Range<u64>,
    /// The module that contains it; `None` for the kernel itself.
    pub(super) module: Option<String>,
}

/// Why a sought variable is not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nothing that is loaded has it.
    Gone(String),
    /// It may be there, but can't be watched, or it isn't known which one is meant.
    Refused(String),
}

impl Absent {
    fn reason(&self) -> &str {
        let (Self::Gone(reason) | Self::Refused(reason)) = self;
        reason
    }
}

impl From<String> for Absent {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

/// A machine whose vCPUs are all stopped.
pub(super) trait Machine {
    /// Where a variable is, or why it isn't found.
    fn find(&mut self, sought: &Sought) -> Result<Place, Absent>;
    /// The guest-physical range at these linear addresses, or why there is none.
    fn physical(&self, linear: &Range<u64>) -> Result<Range<u64>, String>;
    /// Watches this from now on, or says why that can't be.
    fn watch(&self, watch: Watch) -> Result<(), String>;
    /// Ends a watch.
    fn unwatch(&self, watch: &Watch) -> Result<(), String>;
}

/// What is known of one sought variable.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It isn't there, or can't be watched: why.
    Missing(Absent),
    /// It is watched.
    Watched { place: Place, number: usize, variable: Variable },
}

/// A sought variable, and what has become of it.
#[derive(Debug)]
struct Entry {
    sought: Sought,
    state: State,
    /// Whether it was watched at some time.
    was_found: bool,
    /// Why it was last not watched, after it had been and while it may have been there.
    refused: Option<String>,
}

/// The sought variables of one run.
#[derive(Debug)]
pub(super) struct Seeker {
    all: Vec<Entry>,
}

impl Seeker {
    pub(super) fn new(sought: &[Sought]) -> Self {
        let entry = |sought: &Sought| Entry {
            sought: sought.clone(),
            state: State::Missing(Absent::Gone("the machine was never looked at".into())),
            was_found: false,
            refused: None,
        };
        Self { all: sought.iter().map(entry).collect() }
    }

    /// Looks at the machine. Variables that were found are added to `variables` and watched; the
    /// watches of those that are gone, or are elsewhere, end. Returns what has changed, for people.
    pub(super) fn look(&mut self, machine: &mut dyn Machine, variables: &Variables) -> Vec<String> {
        let mut news = Vec::new();
        for Entry { sought, state, was_found, refused } in &mut self.all {
            let found = machine.find(sought).and_then(|place| {
                let linear = chosen(sought, &place.linear)?;
                let physical = machine.physical(&linear)?;
                Ok((place, Variable { name: sought.to_string(), linear: linear.start, physical }))
            });
            if let State::Watched { place, number, variable } = state {
                if found.as_ref().is_ok_and(|(now, at)| (now, at) == (&*place, &*variable)) {
                    continue;
                }
                variables.forget(*number);
                let ended = machine.unwatch(&variable.watch());
                let problem = ended.err().map(|problem| format!(" ({problem})"));
                let problem = problem.unwrap_or_default();
                let reason =
                    found.as_ref().err().map_or("it has moved", |absent| brief(absent.reason()));
                news.push(format!("{sought} is not watched any more: {reason}{problem}"));
            }
            let watched = found.and_then(|(place, variable)| {
                let cause = |reason| format!("it can't be watched: {reason}");
                machine.watch(variable.watch()).map_err(cause)?;
                Ok((place, variable))
            });
            *state = match watched {
                Err(absent) => {
                    // A variable that came back is not watched for another reason than before.
                    let now = brief(absent.reason());
                    if *was_found
                        && matches!(state, State::Missing(before) if brief(before.reason()) != now)
                    {
                        news.push(format!("{sought} is not watched: {now}"));
                    }
                    if let Absent::Refused(reason) = &absent
                        && *was_found
                    {
                        *refused = Some(reason.clone());
                    }
                    State::Missing(absent)
                }
                Ok((place, variable)) => {
                    let other = variables.at(&variable.physical);
                    news.push(told(sought, &place, &variable, other.as_deref()));
                    *was_found = true;
                    let home = Home { module: place.module.clone() };
                    let number = variables.add(variable.clone(), home);
                    State::Watched { place, number, variable }
                }
            };
        }
        news
    }

    /// Whether the machine has to be looked at often: something is sought, or can go at any time.
    pub(super) fn is_restless(&self) -> bool {
        self.all.iter().any(|entry| match &entry.state {
            State::Missing(_) => true,
            State::Watched { place, .. } => place.module.is_some(),
        })
    }

    /// The variables that were never watched, and why: for the last look.
    pub(super) fn never_found(&self) -> Vec<(String, String)> {
        let never = self.all.iter().filter_map(|entry| match &entry.state {
            State::Missing(absent) if !entry.was_found => {
                Some((entry.sought.to_string(), absent.reason().to_owned()))
            }
            _ => None,
        });
        never.collect()
    }

    /// The variables that were watched and then not any more, at least for a while, although they
    /// may have been there, and why.
    pub(super) fn refused(&self) -> Vec<(String, String)> {
        let refused = self.all.iter().filter_map(|entry| {
            let reason = entry.refused.clone()?;
            Some((entry.sought.to_string(), reason))
        });
        refused.collect()
    }
}

/// A reason without the details behind it, such as the modules that are loaded.
fn brief(reason: &str) -> &str {
    reason.split(';').next().unwrap_or(reason)
}

/// The linear addresses that are to be watched.
fn chosen(sought: &Sought, linear: &Range<u64>) -> Result<Range<u64>, String> {
    let size = linear.end.saturating_sub(linear.start);
    let bytes = match sought.bytes {
        Some(bytes) => bytes,
        None if (1..=MAX_BYTES).contains(&size) => size,
        None => {
            return Err(format!(
                "its size is not known: give the number of bytes, as in --watch {sought}:8"
            ));
        }
    };
    let end = linear.start.checked_add(bytes).ok_or("it would end behind all addresses")?;
    Ok(linear.start..end)
}

/// `other` is the name of a watched variable at the same place.
fn told(sought: &Sought, place: &Place, variable: &Variable, other: Option<&str>) -> String {
    let bytes = variable.physical.end - variable.physical.start;
    let of = match (&place.module, &sought.module) {
        (Some(module), None) => format!(" of module {module}"),
        _ => String::new(),
    };
    let unsure = if place.module.is_none() && sought.bytes.is_none() {
        " up to the next symbol"
    } else {
        ""
    };
    let other = other.map_or(String::new(), |other| {
        format!("; {other} is at the same place, and its name is used")
    });
    format!("watching {sought}{of} at {:#x}, {bytes} bytes{unsure}{other}", variable.linear)
}

#[cfg(test)]
#[path = "seeker_tests.rs"]
mod tests;
