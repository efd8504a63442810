//! A terminal to which a program writes.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use nix::pty::openpty;

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
