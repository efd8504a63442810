//! Messages about cancelled firings. Each place is reported once, however often it fails and on
//! however many vCPUs.

use std::error::Error as _;

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Cancel, Cause};
use crate::code::Code;

/// Which places have been reported.
#[derive(Debug)]
pub struct Reported {
    /// One flag for each place of the code, then one for each probe as a whole.
    places: Vec<AtomicBool>,
}

impl Reported {
    /// No place has been reported yet.
    pub fn new(code: &Code) -> Self {
        let count = code.places.len() + code.probes.len();
        Self { places: std::iter::repeat_with(AtomicBool::default).take(count).collect() }
    }

    /// The message for the user, if this is the first failure at its place.
    pub(super) fn first(&self, code: &Code, probe: usize, cancel: &Cancel) -> Option<String> {
        let index = cancel.place.map_or(code.places.len() + probe, |place| place.0);
        if self.places.get(index)?.swap(true, Ordering::Relaxed) {
            return None;
        }
        let probe = code.probes.get(probe)?;
        let span = cancel.place.and_then(|place| code.places.get(place.0)).unwrap_or(&probe.span);
        let mut text = format!(
            "{}: {}; this firing of {} is cancelled (said once for this place)",
            span.location(&code.sources),
            Chain(&cancel.cause),
            probe.name,
        );
        text.retain(|c| c != '\n');
        Some(text)
    }
}

/// A cause, displayed with the errors that led to it.
struct Chain<'a>(&'a Cause);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        // The message already includes the first source.
        let mut source = self.0.source().and_then(std::error::Error::source);
        while let Some(error) = source {
            f.write_str(": ")?;
            write!(f, "{error}")?;
            source = error.source();
        }
        Ok(())
    }
}
