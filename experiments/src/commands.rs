//! Command lines for the user to type.

use std::borrow::Cow;
use std::fmt::Write as _;

use vmm::controlled::Granularity;
use vmm::criteria::Pattern;
use vmm::identity::Identity;
use vmm::memory::MemorySize;

use crate::finding::Machine;

/// An argument, quoted for a POSIX shell. A text with control characters needs `$'...'`, which
/// shells have by POSIX.1-2024, section 2.2.4.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else if text.chars().any(char::is_control) {
        format!("$'{}'", text.chars().map(escaped).collect::<String>()).into()
    } else {
        format!("'{}'", text.replace('\'', "'\\''")).into()
    }
}

/// A character between `$'` and `'`: three octal digits, which end even before another digit, for
/// each byte of a control character.
fn escaped(character: char) -> String {
    match character {
        '\'' | '\\' => format!("\\{character}"),
        _ if character.is_control() => {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).bytes();
            bytes.fold(String::new(), |text, byte| text + &format!("\\{byte:03o}"))
        }
        _ => character.into(),
    }
}

/// A path as an argument of its own: one that begins with a hyphen is no option.
pub fn quoted_path(path: &str) -> Cow<'_, str> {
    if path.starts_with('-') {
        quoted(&format!("./{path}")).into_owned().into()
    } else {
        quoted(path)
    }
}

/// An option with its value, after a space. A value that begins with a hyphen would be taken for an
/// option without `=`.
pub fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!(" --{name}{between}{}", quoted(value))
}

impl Machine {
    /// The arguments of `hunt` that make the same machine.
    pub fn arguments(&self) -> String {
        let Self { guest, cpus, memory, identity, command_line, granularity, criteria, .. } = self;
        let Self { disks, rng, virtio_console, faults, .. } = self;
        let mut text = format!("{} --cpus {cpus}", quoted_path(guest));
        let mut add = |name: &str, value: &str, default: &str| {
            if value != default {
                text.push_str(&option(name, value));
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
        for fault in faults {
            text.push_str(&option("fault", fault));
        }
        // With `=`, because a pattern may begin with a hyphen.
        let mut all = |option: &str, values: &mut dyn Iterator<Item = &str>| {
            for value in values {
                // Writing to a String can't fail.
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
