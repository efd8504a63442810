//! Recognises on the console that Linux has panicked, so that a reset behind it isn't taken for a
//! reboot.

use super::source::Source;

/// How Linux begins the line of a panic, and the last line that it prints about it if it then waits
/// for ever (`panic` in `kernel/panic.c`).
const PANIC: &[u8] = b"Kernel panic - not syncing";
const END: &[u8] = b"---[ end Kernel panic - not syncing";
/// How Linux begins a line before it resets the machine or powers it off in order, which it does
/// not do behind a panic (`kernel/reboot.c`).
const IN_ORDER: &[u8] = b"reboot: ";
/// The longest part of a line that is looked at.
const MAX_LINE: usize = 512;

/// The state of the search: plain data, of which a snapshot contains a copy.
///
/// A program can print the same lines as the kernel, for example from an old log. So a panic counts
/// only with what follows: a reset that is not in order, or nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PanicWatch {
    /// The present line of each console: the kernel may print to both.
    lines: [Vec<u8>; Source::COUNT],
    message: Option<String>,
    /// Whether the last line is the last one of a panic, and nothing has followed.
    is_over: bool,
}

impl PanicWatch {
    /// Takes the next bytes of a console.
    pub(super) fn feed(&mut self, source: Source, bytes: &[u8]) {
        for byte in bytes {
            self.take(source, *byte);
        }
    }

    /// What the kernel has said of its first panic, if the machine is reset now.
    pub(super) fn before_a_reset(&self) -> Option<String> {
        self.message.clone()
    }

    /// The same, if the machine does nothing more.
    pub(super) fn before_nothing(&self) -> Option<String> {
        self.message.clone().filter(|_| self.is_over && self.lines.iter().all(Vec::is_empty))
    }

    fn take(&mut self, source: Source, byte: u8) {
        let line = &mut self.lines[source as usize];
        if byte != b'\n' {
            if line.len() < MAX_LINE {
                line.push(byte);
            }
            return;
        }
        let line = std::mem::take(line);
        let text = without_prefix(line.trim_ascii());
        if text.starts_with(IN_ORDER) {
            self.message = None;
        } else if let (None, Some(rest)) = (&self.message, text.strip_prefix(PANIC)) {
            let message = rest.strip_prefix(b": ").unwrap_or(rest);
            self.message = Some(String::from_utf8_lossy(message).into_owned());
        }
        self.is_over = text.starts_with(END);
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

    /// What counts before a reset, and before nothing.
    fn watch(text: &str) -> (Option<String>, Option<String>) {
        let mut watch = PanicWatch::default();
        watch.feed(Source::Serial, text.as_bytes());
        (watch.before_a_reset(), watch.before_nothing())
    }

    #[test]
    fn the_message_is_what_the_kernel_says() {
        let said = "[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs on x\r\n";
        let message = Some("VFS: Unable to mount root fs on x".to_owned());
        assert_eq!(watch(said), (message.clone(), None));
        let end = "[    1.6][    T1] ---[ end Kernel panic - not syncing: VFS ]---\r\n";
        let whole = format!("{said}Call Trace:\r\n{end}");
        assert_eq!(watch(&whole), (message.clone(), message.clone()));
        // The guest goes on.
        assert_eq!(watch(&format!("{whole}/ # ")), (message.clone(), None));
        assert_eq!(watch(&format!("{whole}next\n")), (message, None));
    }

    #[test]
    fn lines_of_two_consoles_are_not_mixed() {
        let mut watch = PanicWatch::default();
        for byte in b"Kernel panic - not syncing: a\n" {
            watch.feed(Source::Serial, &[*byte]);
            watch.feed(Source::Virtio, &[*byte]);
        }
        assert_eq!(watch.before_a_reset().unwrap(), "a");
        watch.feed(Source::Virtio, b"---[ end Kernel panic - not syncing: a ]---\n");
        assert_eq!(watch.before_nothing().unwrap(), "a");
        watch.feed(Source::Serial, b"goes on");
        assert_eq!(watch.before_nothing(), None);
        // Only one of them is the kernel's own.
        watch.feed(Source::Serial, b"\nreboot: Power down\n");
        assert_eq!(watch.before_a_reset(), None);
    }

    #[test]
    fn a_text_before_an_orderly_end_is_no_panic() {
        let fake = "Kernel panic - not syncing: fake\n";
        assert_eq!(watch(&format!("{fake}[ 9.1] reboot: Restarting system\r\n")), (None, None));
        assert_eq!(watch(&format!("{fake}[ 9.1] reboot: Power down\r\n")), (None, None));
        assert_eq!(watch("echo Kernel panic - not syncing: no\n"), (None, None));
        assert_eq!(watch("Kernel panic - not syncing: unfinished line"), (None, None));
        assert_eq!(watch("---[ end Kernel panic - not syncing ]---\n"), (None, None));
        let long = "x".repeat(100_000);
        let text = format!("{long}\nKernel panic - not syncing: a\n");
        assert_eq!(watch(&text).0.unwrap(), "a");
    }
}
