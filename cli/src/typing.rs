//! Whether what a user types reaches the guest key by key, or in lines that a terminal has edited.

use anyhow::{Context, Result, bail};

use crate::args::{ConsoleMode, RunArgs};
use crate::console;
use crate::keys::Keys;
use crate::terminal::{self, Raw};
use crate::writer::{ERROR, Stream};

/// A terminal in raw mode, and its keys. The terminal gets its settings back when this is dropped.
pub(crate) struct Typing {
    pub(crate) keys: Keys,
    _raw: Raw,
}

/// Fails if raw mode is asked for where it can't be.
pub(crate) fn check(args: &RunArgs) -> Result<()> {
    if args.console != Some(ConsoleMode::Raw) {
        return Ok(());
    }
    if args.is_repeated() || args.json {
        bail!(
            "--console raw: only a single run without --json, --repeat and --until-failure takes \
             input"
        );
    }
    if !terminal::is_there() {
        bail!("--console raw: standard input is not a terminal");
    }
    Ok(())
}

impl Typing {
    /// Puts the terminal into raw mode, if that is the way for this guest. `screen` is where its
    /// console is shown.
    pub(crate) fn begin(
        args: &RunArgs,
        screen: Stream,
        is_from_file: bool,
    ) -> Result<Option<Self>> {
        if !is_raw(args, screen, is_from_file) {
            return Ok(None);
        }
        let raw = Raw::enter().context("--console raw: the terminal can't be put into raw mode")?;
        // What is said about keys goes to a terminal if there is one, also if standard error goes
        // elsewhere.
        let is_elsewhere = !console::is_terminal(ERROR) && console::is_terminal(screen);
        let keys = Keys::begin(if is_elsewhere { screen } else { ERROR });
        Ok(Some(Self { keys, _raw: raw }))
    }
}

/// Whether the terminal passes each key to the guest. Unless the user says it, it does so only
/// where a person can talk with the guest. Guests of the catalogue read nothing, and who runs one
/// ends it by Ctrl-C.
fn is_raw(args: &RunArgs, screen: Stream, is_from_file: bool) -> bool {
    if let Some(mode) = args.console {
        return mode == ConsoleMode::Raw;
    }
    let is_shown = !args.is_repeated() && !args.json && console::is_terminal(screen);
    is_from_file && is_shown && terminal::is_ours()
}
