//! Prints what VP scripts declare.

use std::fmt::{self, Display, Formatter};

use super::{Declared, FunctionForm, Inferred, Slot};
use crate::source::Literal;

/// A line for each name, in alphabetical order, then a line for each probe.
impl Display for Declared<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let program = &self.checker.program;
        for (name, variable) in &self.checker.variables {
            match variable.slot {
                Slot::Integer(slot) => {
                    let value = program.integers.get(slot.0).copied().unwrap_or_default();
                    writeln!(f, "integer {name} = {value}, integers[{}]", slot.0)?;
                }
                Slot::Str(slot) => {
                    let value = program.strings.get(slot.0).cloned().unwrap_or_default();
                    let value = Literal::of_bytes(value.as_bytes());
                    writeln!(f, "string {name} = {value}, strings[{}]", slot.0)?;
                }
                Slot::Aggregate(slot) => {
                    let Some(shape) = program.aggregates.get(slot.0) else { continue };
                    let (integers, strings) = (shape.integers, shape.strings);
                    writeln!(f, "aggregate {name}: keys {integers} integer, {strings} string")?;
                }
                Slot::Bag(slot) => {
                    let capacity = program.bags.get(slot.0).map_or(0, |bag| bag.capacity);
                    writeln!(f, "bag {name}: capacity {capacity}")?;
                }
                Slot::Function(_) => {
                    let function = self.functions.iter().find(|function| function.name == name);
                    let Some(function) = function else { continue };
                    writeln!(f, "function {name}({})", names(function).join(", "))?;
                }
            }
        }
        self.probes.iter().try_for_each(|probe| probe.list(f))
    }
}

/// A line for each function, in the order of the scripts.
impl Display for Inferred<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (function, signature) in self.0.functions.iter().zip(&self.0.checker.signatures) {
            let parameters = names(function).into_iter().zip(&signature.parameters);
            let parameters: Vec<String> =
                parameters.map(|(name, of)| format!("{name}: {}", of.name())).collect();
            let (name, result) = (function.name, signature.result.name());
            writeln!(f, "function {name}({}) -> {result}", parameters.join(", "))?;
        }
        Ok(())
    }
}

fn names<'a>(function: &FunctionForm<'a>) -> Vec<&'a str> {
    function.parameters.iter().map(|(name, _)| *name).collect()
}
