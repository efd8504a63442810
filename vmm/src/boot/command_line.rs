//! The guest's command line.

use super::{kind, layout};
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::Memory;

/// The maximum length of a command line in bytes, with its final NUL; Linux has the same limit on
/// x86 (`COMMAND_LINE_SIZE`).
pub(super) const MAX_COMMAND_LINE: usize = 2048;

/// The command line that a guest gets: words that it needs, each unless the user's part has one of
/// its kind, then the user's part. Linux gets `console=ttyS0`, without which it prints nothing, and
/// `panic=-1`, by which it resets the machine when it has panicked; other guests get `cpus=` with
/// the number of vCPUs.
pub(super) fn of(config: &MachineConfig) -> String {
    let needed = if kind::is_linux(&config.guest.bytes) {
        vec![("console=", "ttyS0".into()), ("panic=", "-1".into())]
    } else {
        vec![("cpus=", config.cpus.to_string())]
    };
    let user = config.command_line.trim();
    let has = |key: &str| user.split_ascii_whitespace().any(|word| word.starts_with(key));
    let missing = needed.into_iter().filter(|(key, _)| !has(key));
    let mut words: Vec<String> = missing.map(|(key, value)| format!("{key}{value}")).collect();
    if !user.is_empty() {
        words.push(user.to_owned());
    }
    words.join(" ")
}

/// Writes the command line, with a final NUL, to where every protocol looks for it. `most` is the
/// longest line that the kernel takes, in bytes with the NUL. Fails if the line is longer, or has a
/// NUL in it.
pub(super) fn write(memory: &Memory, line: &str, most: usize) -> Result<()> {
    let most = most.min(MAX_COMMAND_LINE);
    let problem = if line.len() >= most {
        Some(format!("{} bytes long; at most {} fit", line.len(), most.saturating_sub(1)))
    } else if line.contains('\0') {
        Some("has a NUL byte in it".into())
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(Error::Config { setting: "--cmdline", value: line.into(), problem });
    }
    memory.write(layout::COMMAND_LINE, line.as_bytes())?;
    memory.write(layout::COMMAND_LINE + line.len() as u64, &[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CpuCount, GuestImage};
    use crate::memory::MemorySize;

    /// The command line of a guest with six vCPUs.
    fn line(image: &'static [u8], command_line: &str) -> String {
        let guest = GuestImage { name: "test".into(), bytes: image.into() };
        let mut config = MachineConfig::new(guest, CpuCount::new(6).unwrap());
        config.command_line = command_line.into();
        of(&config)
    }

    #[test]
    fn a_guest_is_told_its_number_of_vcpus() {
        assert_eq!(line(b"", ""), "cpus=6");
        assert_eq!(line(b"", "quiet"), "cpus=6 quiet");
        assert_eq!(line(b"", "a cpus=2"), "a cpus=2");
        assert_eq!(line(b"", "maxcpus=2"), "cpus=6 maxcpus=2");
    }

    #[test]
    fn linux_is_told_its_console() {
        let linux = crate::boot::bzimage::tests::SMALL;
        assert_eq!(line(linux, ""), "console=ttyS0 panic=-1");
        assert_eq!(line(linux, "quiet"), "console=ttyS0 panic=-1 quiet");
        assert_eq!(line(linux, "panic=5 console=hvc0"), "panic=5 console=hvc0");
    }

    #[test]
    fn a_command_line_that_does_not_fit_is_refused() {
        let memory = Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap();
        let write = |line: &str, most| write(&memory, line, most);
        assert!(write(&"x".repeat(2047), MAX_COMMAND_LINE).is_ok());
        let error = write(&"x".repeat(2048), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("at most 2047"), "{error}");
        let error = write(&"x".repeat(256), 256).unwrap_err().to_string();
        assert!(error.contains("at most 255"), "{error}");
        assert!(write("a\0b", MAX_COMMAND_LINE).is_err());
    }
}
