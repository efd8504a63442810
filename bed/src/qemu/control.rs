//! The control port: what the machine has reported, and signals to its program.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::{At, Result};
use crate::machine::Control;

/// The control port, and the lines that have arrived on it.
pub(crate) struct ControlPort {
    port: UnixStream,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl ControlPort {
    pub(crate) fn listen(port: UnixStream) -> Result<Self> {
        let stream = port.try_clone().at(Path::new("the control port"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(io::Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { port, lines, reader })
    }

    /// The program's exit status. Call this when no more lines can arrive.
    pub(crate) fn status(self) -> Option<i32> {
        let _ = self.reader.join();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find_map(|line| line.strip_prefix("exit ")?.parse().ok())
    }
}

impl Control for ControlPort {
    fn is_up(&self) -> bool {
        !self.lines.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn terminate(&self) -> bool {
        let _ = (&self.port).write_all(b"TERM\n");
        true
    }
}
