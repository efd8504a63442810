//! Prints a program as text: a header for each variable, function and probe, and bodies as lists
//! such as `(set integers[0] (+ integers[0] 1))`, in which each variable has its type's name and
//! its slot.

mod expression;

use std::fmt::{self, Display, Formatter};

use super::{Frame, Program};
use crate::sexpr::Sexpr;
use crate::source::Literal;

/// A number: decimal if it is small, else hexadecimal, as addresses are.
pub(crate) fn spelled(value: u64) -> String {
    if value <= 0xffff { value.to_string() } else { format!("{value:#x}") }
}

/// The indentation of a body.
const BODY: usize = 4;

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.variables(f)?;
        self.bodies(f)
    }
}

impl Program {
    fn variables(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (slot, value) in self.integers.iter().enumerate() {
            writeln!(f, "integers[{slot}] = {value}")?;
        }
        for (slot, value) in self.shared_integers.iter().enumerate() {
            writeln!(f, "shared[{slot}] = {value}")?;
        }
        for (slot, value) in self.strings.iter().enumerate() {
            writeln!(f, "strings[{slot}] = {}", Literal::of_bytes(value.as_bytes()))?;
        }
        for shape in &self.aggregates {
            let (integers, strings) = (shape.integers, shape.strings);
            write!(f, "aggregate {}: keys {integers} integer, {strings} string", shape.name)?;
            if let Some(frames) = shape.stack {
                write!(f, ", stack of {frames}")?;
            }
            writeln!(f, "; keeps {}", shape.kind.name())?;
        }
        for bag in &self.bags {
            writeln!(f, "bag {}: capacity {}", bag.name, bag.capacity)?;
        }
        Ok(())
    }

    fn bodies(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for function in &self.functions {
            let types: Vec<&str> = function.parameters.iter().map(|of| of.name()).collect();
            let result = function.result.of().name();
            writeln!(f, "function {}({}) -> {result}", function.name, types.join(", "))?;
            frame(f, function.frame)?;
            let result = Sexpr::list("return", [self.expression(&function.result)]);
            let body = function.body.iter().map(|statement| self.statement(statement));
            lines(f, body.chain([result]))?;
        }
        for probe in &self.probes {
            writeln!(f, "probe {}", probe.written)?;
            for found in &probe.points {
                writeln!(f, "  at {}", found.point)?;
            }
            frame(f, probe.frame)?;
            if let Some(predicate) = &probe.predicate {
                writeln!(f, "  predicate")?;
                lines(f, [self.integer(predicate)])?;
                writeln!(f, "  body")?;
            }
            lines(f, probe.body.iter().map(|statement| self.statement(statement)))?;
        }
        Ok(())
    }
}

fn frame(f: &mut Formatter<'_>, frame: Frame) -> fmt::Result {
    if frame == Frame::default() {
        return Ok(());
    }
    writeln!(f, "  locals: {} integer, {} string", frame.integers, frame.strings)
}

fn lines(f: &mut Formatter<'_>, body: impl IntoIterator<Item = Sexpr>) -> fmt::Result {
    let mut text = String::new();
    for expression in body {
        expression.print(BODY, &mut text);
    }
    f.write_str(&text)
}
