//! The terminal on standard input, which is in raw mode while a guest has it.
//!
//! In raw mode the terminal passes on each key at once, and neither shows it nor acts on it. Its
//! output settings stay as they are: a newline still goes to the begin of the next line.
//!
//! The settings from before are restored when the guest has ended or is about to be interrupted,
//! when the program is stopped, and when a signal kills it. SIGKILL and SIGSTOP are exceptions that
//! no program can see.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};
use vmm::signals::Moment;

/// The settings while the terminal is in raw mode.
static MODES: Mutex<Option<Modes>> = Mutex::new(None);

struct Modes {
    before: Termios,
    raw: Termios,
}

/// Whether standard input is a terminal.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal()
}

/// Whether it is a terminal, and no other program has it: the program is not in the background.
pub(crate) fn is_ours() -> bool {
    is_there() && !is_in_background()
}

/// The terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Puts the terminal on standard input into raw mode.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        raw.output_flags = before.output_flags;
        let mut modes = MODES.lock().unwrap_or_else(PoisonError::into_inner);
        set(&raw)?;
        *modes = Some(Modes { before, raw });
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        leave();
    }
}

/// Puts the terminal in order when a signal does something.
pub(crate) fn at(moment: Moment) {
    match moment {
        // The run ends within a second. With the keys back in their place, a second Ctrl-C ends the
        // program at once.
        Moment::Ends => leave(),
        Moment::Stops | Moment::Dies => set_if_raw(|modes| &modes.before),
        Moment::Continues => set_if_raw(|modes| &modes.raw),
    }
}

fn leave() {
    let mut modes = MODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(modes) = modes.take() {
        // A terminal that refuses its own settings is gone.
        let _ = set(&modes.before);
    }
}

fn set_if_raw(choose: impl FnOnce(&Modes) -> &Termios) {
    let modes = MODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(modes) = &*modes {
        let _ = set(choose(modes));
    }
}

/// Changes the settings, without waiting for output: its reader may have stopped reading. While the
/// program is in the background, the terminal is another program's, and is left alone.
fn set(settings: &Termios) -> nix::Result<()> {
    if is_in_background() {
        return Ok(());
    }
    // If the program has just gone to the background, SIGTTOU would stop it.
    let stop = SigSet::from(Signal::SIGTTOU);
    let before = stop.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let set = loop {
        match tcsetattr(io::stdin(), SetArg::TCSANOW, settings) {
            Err(Errno::EINTR) => {}
            set => break set,
        }
    };
    before.thread_set_mask()?;
    set
}

/// Whether the terminal controls this program's session, and another process group has it.
fn is_in_background() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != getpgrp())
}
