//! Checks that no input causes a panic, a hang or unbounded use of memory in both front ends, and
//! in the engine with whatever they accept.
//!
//! Inputs are valid scripts that are cut up and recombined with words of the languages, from a
//! fixed seed, so that a failure can be reproduced. `JITTERBUG_INPUTS=1000000` tries more inputs
//! than the few thousand of an ordinary run. Tests that are guided by coverage are in `fuzz/`.

mod fire;
mod generate;
#[path = "../../../inspect/tests/robustness/inputs.rs"]
mod inputs;
mod scripts;
