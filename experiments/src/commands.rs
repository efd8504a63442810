//! Command lines for the user to type.

use std::borrow::Cow;
use std::fmt::Write as _;

use vmm::controlled::Granularity;
use vmm::criteria::Pattern;
use vmm::identity::Identity;
use vmm::memory::MemorySize;

use crate::finding::Machine;

/// An argument, quoted for a POSIX shell.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', "'\\''")).into()
    }
}

impl Machine {
    /// The arguments of `hunt` that make the same machine.
    pub fn arguments(&self) -> String {
        let Self { guest, cpus, memory, identity, command_line, granularity, criteria, .. } = self;
        let Self { disks, rng, virtio_console, .. } = self;
        let mut text = format!("{} --cpus {cpus}", quoted(guest));
        let mut add = |option: &str, value: &str, default: &str| {
            if value != default {
                // Writing to a String can't fail.
                let _ = write!(text, " --{option} {}", quoted(value));
            }
        };
        add("mem", memory, &MemorySize::default().to_string());
        add("identity", identity, &Identity::default().to_string());
        add("cmdline", command_line, "");
        add("granularity", granularity, Granularity::default().name());
        if *rng {
            text.push_str(" --rng");
        }
        if *virtio_console {
            text.push_str(" --virtio-console");
        }
        // With `=`, because a pattern may begin with a hyphen.
        let mut all = |option: &str, values: &mut dyn Iterator<Item = &str>| {
            for value in values {
                let _ = write!(text, " --{option}={}", quoted(value));
            }
        };
        all("disk", &mut disks.iter().map(String::as_str));
        all("ok", &mut criteria.ok.iter().map(Pattern::as_str));
        all("fail", &mut criteria.fail.iter().map(Pattern::as_str));
        all("ok-at", &mut criteria.ok_at.iter().map(|place| place.symbol.as_str()));
        all("fail-at", &mut criteria.fail_at.iter().map(|place| place.symbol.as_str()));
        text
    }
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
