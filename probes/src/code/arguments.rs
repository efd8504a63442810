//! Which of its arguments a probe uses.

use super::{Code, Op, Probe};
use crate::variable::From;

impl Code {
    /// The arguments that a probe or the functions that it calls may use: bit n is `ARGn`.
    pub fn arguments(&self, probe: &Probe) -> u16 {
        let mut seen = vec![false; self.ops.len()];
        let mut pending = vec![probe.routine.entry];
        let mut used = 0;
        while let Some(at) = pending.pop() {
            let index = at as usize;
            let Some(op) = self.ops.get(index).filter(|_| !seen[index]) else { continue };
            seen[index] = true;
            let mut ends = false;
            match *op {
                Op::Builtin(variable) => {
                    if let Some(From::Argument(number)) =
                        self.variables.get(variable as usize).map(|variable| variable.from)
                    {
                        used |= 1 << number;
                    }
                }
                Op::Jump(to) => {
                    pending.push(to);
                    ends = true;
                }
                Op::JumpIfZero(to) | Op::JumpUnlessZero(to) | Op::Try(to) => pending.push(to),
                Op::Call { function, .. } => {
                    pending.extend(self.functions.get(function as usize).map(|it| it.entry));
                }
                Op::ReturnInteger | Op::ReturnString | Op::Exit | Op::Unload | Op::Filtered => {
                    ends = true;
                }
                _ => {}
            }
            if !ends {
                pending.push(at + 1);
            }
        }
        used
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
