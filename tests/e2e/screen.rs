//! A terminal on which a program writes, and on which a user types.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};

/// A terminal, and what is shown on it.
pub(crate) struct Screen {
    master: fs::File,
    slave: Option<OwnedFd>,
    shown: Vec<u8>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = openpty(None, None).expect("a terminal");
        let slave = Some(terminal.slave);
        Self { master: terminal.master.into(), slave, shown: Vec::new() }
    }

    /// The program's end of the terminal, which only the program then has open.
    pub(crate) fn tty(&mut self) -> OwnedFd {
        self.slave.take().expect("one program")
    }

    /// The same for a stream of the program; others get it, too.
    pub(crate) fn shared_tty(&mut self) -> OwnedFd {
        let slave = self.slave.as_ref().expect("a program that has not got its last stream");
        slave.try_clone().expect("one more descriptor")
    }

    /// Types on the terminal.
    pub(crate) fn type_in(&mut self, keys: &[u8]) {
        self.master.write_all(keys).expect("the terminal takes keys");
    }

    /// The terminal's settings.
    pub(crate) fn settings(&self) -> Termios {
        tcgetattr(&self.master).expect("the terminal has settings")
    }

    /// Whether the terminal shows keys, edits lines, or acts on keys such as Ctrl-C.
    pub(crate) fn is_raw(&self) -> bool {
        let acts = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN;
        !self.settings().local_flags.intersects(acts)
    }

    /// Reads until this text is shown. Returns everything that has been shown.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.shown).contains(text) {
            let length = self.master.read(&mut buffer).expect("it shows more");
            self.shown.extend(&buffer[..length]);
            assert!(self.shown.len() < 1 << 20, "no `{text}`");
        }
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Reads for this time, unless this text is shown before. Returns whether it is.
    pub(crate) fn shows(&mut self, text: &str, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.shown).contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).expect("a short time");
            let mut master = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            if poll(&mut master, timeout).expect("the terminal can be waited for") == 0 {
                return false;
            }
            let length = self.master.read(&mut buffer).expect("it shows more");
            self.shown.extend(&buffer[..length]);
        }
        true
    }

    /// Reads everything that is still shown, to the end.
    pub(crate) fn rest(mut self) -> JoinHandle<String> {
        thread::spawn(move || {
            let mut rest = Vec::new();
            // When no process has the terminal open any more, reading it is an error.
            let _ = self.master.read_to_end(&mut rest);
            String::from_utf8_lossy(&rest).into_owned()
        })
    }
}
