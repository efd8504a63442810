//! What unit tests of devices are wired to.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::device::{Clock, InterruptController, Wiring};

/// Keeps what is printed. A clone has the same text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A clock that tests set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TestClock(pub(crate) u64);

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0
    }
}

/// Records how lines are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) set: Vec<(u32, bool)>,
    pub(crate) masked: bool,
}

impl InterruptController for Lines {
    fn set_line(&mut self, line: u32, high: bool) {
        self.set.push((line, high));
    }

    fn is_masked(&self, _line: u32) -> bool {
        self.masked
    }
}

/// Calls with these lines, at time 0.
pub(crate) fn wired<T>(lines: &mut Lines, call: impl FnOnce(&mut Wiring) -> T) -> T {
    call(&mut Wiring { clock: &TestClock(0), controller: lines })
}
