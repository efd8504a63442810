//! Checks that no input causes a panic, a hang or unbounded use of memory in the readers of
//! symbols.
//!
//! Inputs come from a fixed seed, so that a failure can be reproduced. `JITTERBUG_INPUTS=1000000`
//! tries more inputs than the few thousand of an ordinary run. Tests that are guided by coverage
//! are in `fuzz/`.

mod ask;
mod inputs;
mod symbols;
