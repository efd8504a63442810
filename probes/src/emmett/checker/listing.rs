//! Prints what Emmett scripts declare.

use std::fmt::{self, Display, Formatter};

use super::super::types::{Field, Model, Type};
use super::{Checker, Declared, Entity, Inferred};
use crate::ir::IntegerTarget;
use crate::source::Literal;

/// Structures with the offsets of their fields, types, and then a line for each name, in
/// alphabetical order.
impl Display for Declared<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.checker.list_types(f)?;
        self.checker.list_names(f)
    }
}

/// A line for each name, in alphabetical order.
impl Display for Inferred<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.checker.list_names(f)
    }
}

impl Checker<'_> {
    fn list_types(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for record in &self.records.0 {
            let kind = if record.is_union { "union" } else { "struct" };
            let name = format!("{kind} {}", record.tag);
            let Some(fields) = &record.fields else {
                writeln!(f, "{}: not defined", name.trim_end())?;
                continue;
            };
            writeln!(f, "{}: size {}, alignment {}", name.trim_end(), record.size, record.align)?;
            for Field { name, of, offset, bits } in fields {
                let name = if name.is_empty() { "(unnamed)" } else { name };
                write!(f, "    {offset:#x} {name}: {}", self.spelled(of))?;
                match bits {
                    Some((first, count)) => writeln!(f, ", {count} bits from bit {first}")?,
                    None => writeln!(f)?,
                }
            }
        }
        let mut types: Vec<_> = self.types.iter().collect();
        types.sort_unstable_by_key(|(name, _)| *name);
        types.iter().try_for_each(|(name, of)| writeln!(f, "type {name}: {}", self.spelled(of)))
    }

    fn list_names(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let program = &self.program;
        for (name, (entity, _)) in &self.names {
            match entity {
                Entity::Integer(target, of) => {
                    let (kind, values, slot) = match target {
                        IntegerTarget::Shared(slot) => ("shared", &program.shared_integers, slot.0),
                        IntegerTarget::Variable(slot) => ("integers", &program.integers, slot.0),
                        IntegerTarget::Local(_) => continue,
                    };
                    let value = values.get(slot).copied().unwrap_or_default();
                    writeln!(f, "variable {name}: {} = {value}, {kind}[{slot}]", self.spelled(of))?;
                }
                Entity::Str(slot) => {
                    let value = program.strings.get(slot.0).cloned().unwrap_or_default();
                    let value = Literal::of_bytes(value.as_bytes());
                    writeln!(f, "variable {name}: string = {value}, strings[{}]", slot.0)?;
                }
                Entity::Aggregate(slot) => {
                    let Some(shape) = program.aggregates.get(slot.0) else { continue };
                    let (integers, strings) = (shape.integers, shape.strings);
                    writeln!(f, "aggregate {name}: keys {integers} integer, {strings} string")?;
                }
                Entity::Bag(slot) => {
                    let capacity = program.bags.get(slot.0).map_or(0, |bag| bag.capacity);
                    writeln!(f, "bag {name}: capacity {capacity}")?;
                }
                Entity::Function(_) => {
                    let Some(signature) = self.signatures.get(name) else { continue };
                    let parameters: Vec<String> =
                        signature.parameters.iter().map(|of| self.spelled(of)).collect();
                    let result = self.spelled(&signature.result);
                    writeln!(f, "function {name}({}) -> {result}", parameters.join(", "))?;
                }
                Entity::Constant(value) => writeln!(f, "constant {name} = {value}")?,
            }
        }
        Ok(())
    }

    /// A type as text. An integer is written with its size in bits, a pointer that isn't in the
    /// default memory model with its model.
    fn spelled(&self, of: &Type) -> String {
        match of {
            Type::Void => "void".into(),
            Type::Str => "string".into(),
            Type::Integer(bytes) => format!("uint{}", u32::from(*bytes) * 8),
            Type::Pointer(of, Model::Guest64) => format!("{} *", self.spelled(of)),
            Type::Pointer(of, model) => format!("{} *({})", self.spelled(of), model.name()),
            Type::Array(of, count) => format!("{}[{count}]", self.spelled(of)),
            Type::Record(_) => self.records.describe(of),
        }
    }
}
