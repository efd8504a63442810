//! Recognises on the console that Linux has panicked, so that a reset behind it isn't taken for a
//! reboot.

/// How Linux begins the line of a panic, and the line behind everything it prints about it, after
/// which it waits for ever (`panic` in `kernel/panic.c`).
const PANIC: &[u8] = b"Kernel panic - not syncing";
const END: &[u8] = b"---[ end Kernel panic - not syncing";
/// The longest part of a line that is looked at.
const MAX_LINE: usize = 512;

/// The state of the search: plain data, of which a snapshot contains a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PanicWatch {
    line: Vec<u8>,
    message: Option<String>,
}

impl PanicWatch {
    /// Takes the next bytes of the console. Returns whether the kernel has printed all about a
    /// panic, and does nothing any more.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut ended = false;
        for byte in bytes {
            ended |= self.take(*byte);
        }
        ended
    }

    /// What the kernel has said of its first panic.
    pub(super) fn message(&self) -> Option<String> {
        self.message.clone()
    }

    fn take(&mut self, byte: u8) -> bool {
        if byte != b'\n' {
            if self.line.len() < MAX_LINE {
                self.line.push(byte);
            }
            return false;
        }
        let line = std::mem::take(&mut self.line);
        let text = without_prefix(line.trim_ascii());
        if let (None, Some(rest)) = (&self.message, text.strip_prefix(PANIC)) {
            let message = rest.strip_prefix(b": ").unwrap_or(rest);
            self.message = Some(String::from_utf8_lossy(message).into_owned());
        }
        self.message.is_some() && text.starts_with(END)
    }
}

/// A line without what precedes the kernel's messages: the time and the caller, in brackets.
fn without_prefix(mut line: &[u8]) -> &[u8] {
    while line.first() == Some(&b'[') {
        let Some(end) = line.iter().position(|byte| *byte == b']') else { break };
        line = line[end + 1..].trim_ascii_start();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(text: &str) -> (bool, Option<String>) {
        let mut watch = PanicWatch::default();
        (watch.feed(text.as_bytes()), watch.message())
    }

    #[test]
    fn the_message_is_what_the_kernel_says() {
        let said = "[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs on x\r\n";
        let message = Some("VFS: Unable to mount root fs on x".to_owned());
        assert_eq!(watch(said), (false, message.clone()));
        let end = "[    1.6][    T1] ---[ end Kernel panic - not syncing: VFS ]---\n";
        assert_eq!(watch(&format!("{said}Call Trace:\n{end}")), (true, message));
        assert_eq!(
            watch("Kernel panic - not syncing: a\nKernel panic - not syncing: b\n").1.unwrap(),
            "a"
        );
    }

    #[test]
    fn other_lines_are_no_panic() {
        assert_eq!(watch("echo Kernel panic - not syncing: no\n"), (false, None));
        assert_eq!(watch("Kernel panic - not syncing: unfinished line"), (false, None));
        assert_eq!(watch("---[ end Kernel panic - not syncing ]---\n"), (false, None));
        let long = "x".repeat(100_000);
        assert_eq!(watch(&format!("{long}\nKernel panic - not syncing: a\n")).1.unwrap(), "a");
    }
}
