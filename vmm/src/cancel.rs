//! Cancelling a run whose result is no longer wanted.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Knows whether a run has been cancelled. The thread that executes the run checks this between
/// scheduling points, and at least every 20 ms of processor time while a vCPU runs without reaching
/// a scheduling point.
#[derive(Clone)]
pub struct Cancel(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Cancel {
    /// Cancels as soon as the condition holds. The condition is evaluated often and must be cheap.
    pub fn when(condition: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(condition)))
    }

    /// Never cancels.
    pub const fn never() -> Self {
        Self(None)
    }

    /// Whether the run has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|condition| condition())
    }

    /// Fails with [`Error::Cancelled`] if the run has been cancelled.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}
