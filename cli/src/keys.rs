//! The keys that are not for the guest while the terminal is in raw mode: those after Ctrl-A, as in
//! QEMU and in terminal programs for serial lines.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vmm::parallel;

use crate::writer::Stream;

/// Ctrl-A, which makes the next key one for jitterbug.
const PREFIX: u8 = 0x01;
/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

/// What is said at the start.
const START: &str = "the keys go to the guest: Ctrl-A x ends the run, Ctrl-A h lists keys";
/// What is said when the user seems to wait for Ctrl-C in vain.
const REMINDER: &str = "the guest has not read the keys before this Ctrl-C: Ctrl-A x ends the run";
/// The answer to Ctrl-A h.
const HELP: &[&str] = &[
    "Ctrl-A x: end the run",
    "Ctrl-A a, Ctrl-A Ctrl-A: send Ctrl-A to the guest",
    "Ctrl-A h, Ctrl-A ?: list these keys",
    "all other keys go to the guest, also Ctrl-C, Ctrl-Z and Ctrl-D",
];

/// Takes out what is for jitterbug.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Where messages for the user go: to the terminal.
    screen: Stream,
    /// Whether the last key was Ctrl-A.
    prefixed: Cell<bool>,
    reminded: Cell<bool>,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It goes to the guest.
    Guest(u8),
    /// It is Ctrl-A, and the next one counts.
    Prefix,
    /// The run is to end.
    End,
    /// The user wants to know the keys.
    Help,
    /// It is no key that jitterbug knows.
    Nothing,
}

impl Keys {
    /// Tells the user which keys there are.
    pub(crate) fn begin(screen: Stream) -> Self {
        let keys = Self { screen, prefixed: Cell::new(false), reminded: Cell::new(false) };
        keys.say(START);
        keys
    }

    /// What this key is for, after the keys before it.
    fn meaning(&self, key: u8) -> Meaning {
        match (self.prefixed.replace(false), key) {
            (false, PREFIX) => {
                self.prefixed.set(true);
                Meaning::Prefix
            }
            (false, key) => Meaning::Guest(key),
            (true, b'a' | PREFIX) => Meaning::Guest(PREFIX),
            (true, b'x') => Meaning::End,
            (true, b'h' | b'?') => Meaning::Help,
            (true, _) => Meaning::Nothing,
        }
    }

    /// Prints a line, unless the terminal takes nothing: the run must not wait for it.
    fn say(&self, text: &str) {
        self.screen.show(format!("jitterbug: {text}\n"));
    }
}

impl parallel::Keys for Keys {
    fn pass(&self, typed: &[u8], unread: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(typed.len());
        for &key in typed {
            match self.meaning(key) {
                Meaning::Guest(key) => {
                    bytes.push(key);
                    if key == INTERRUPT && unread && !self.reminded.replace(true) {
                        self.say(REMINDER);
                    }
                }
                Meaning::End => end_run(),
                Meaning::Help => HELP.iter().for_each(|line| self.say(line)),
                Meaning::Prefix | Meaning::Nothing => {}
            }
        }
        bytes
    }
}

/// Ends the run just as Ctrl-C does where it is not for the guest. Only the first call counts: a
/// second signal would end the program at once.
pub(crate) fn end_run() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    if ASKED.swap(true, Ordering::SeqCst) {
        return;
    }
    // A process may always send itself a signal.
    let _ = kill(Pid::this(), Signal::SIGINT);
}

#[cfg(test)]
mod tests {
    use parallel::Keys as _;

    use super::*;
    use crate::writer::ERROR;

    fn keys() -> Keys {
        Keys { screen: ERROR, prefixed: Cell::new(false), reminded: Cell::new(true) }
    }

    #[test]
    fn keys_go_to_the_guest() {
        let all: Vec<u8> = (0..=255).filter(|key| *key != PREFIX).collect();
        assert_eq!(keys().pass(&all, true), all);
    }

    #[test]
    fn the_prefix_counts_for_one_key_even_if_that_comes_later() {
        let keys = keys();
        assert_eq!(keys.pass(b"a\x01", false), b"a");
        assert_eq!(keys.pass(b"ab\x01\x01\x01q\x03", false), b"\x01b\x01\x03");
    }

    #[test]
    fn each_key_has_its_meaning() {
        let after_prefix = |key: u8| {
            let keys = keys();
            assert_eq!(keys.meaning(PREFIX), Meaning::Prefix);
            keys.meaning(key)
        };
        assert_eq!(after_prefix(b'x'), Meaning::End);
        assert_eq!(after_prefix(b'?'), Meaning::Help);
        assert_eq!(after_prefix(b'h'), Meaning::Help);
        assert_eq!(after_prefix(b'c'), Meaning::Nothing);
        assert_eq!(keys().meaning(b'x'), Meaning::Guest(b'x'));
    }

    #[test]
    fn who_presses_ctrl_c_in_vain_is_reminded_once() {
        let keys = Keys { reminded: Cell::new(false), ..keys() };
        keys.pass(b"\x03", false);
        assert!(!keys.reminded.get(), "the guest reads");
        assert_eq!(keys.pass(b"\x03", true), b"\x03");
        assert!(keys.reminded.get());
    }
}
