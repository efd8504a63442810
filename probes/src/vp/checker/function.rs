//! Checks calls of the script's own functions.

use crate::ir::{Argument, Expression, FunctionSlot, Integer, Str, Type};

use super::super::tree::{Node, NodeKind};
use super::{Call, Checker, Slot};

impl Checker<'_> {
    /// The script's function with this name.
    pub(super) fn function_named(&self, name: &str) -> Option<FunctionSlot> {
        match self.variables.get(name).map(|variable| variable.slot) {
            Some(Slot::Function(slot)) => Some(slot),
            _ => None,
        }
    }

    pub(super) fn call_function(&mut self, call: &Call, slot: FunctionSlot) -> Option<Expression> {
        let signature = self.signatures.get(slot.0).cloned()?;
        let wanted = signature.parameters.len();
        if call.arguments.len() != wanted {
            let expected = match wanted {
                0 => "none".to_owned(),
                1 => "1 argument".to_owned(),
                _ => format!("{wanted} arguments"),
            };
            return self.arity(call, &expected);
        }
        let pairs = call.arguments.iter().zip(&signature.parameters);
        let arguments: Vec<_> =
            pairs.map(|(node, parameter)| self.argument_for(node, *parameter)).collect();
        let arguments = arguments.into_iter().collect::<Option<Vec<_>>>()?;
        let place = self.place(call.span);
        Some(match signature.result {
            Type::Integer => Expression::Integer(Integer::Call(slot, arguments, place)),
            Type::Str => Expression::Str(Str::Call(slot, arguments, place)),
        })
    }

    /// A string variable is passed by reference, so that the function can assign to it.
    fn argument_for(&mut self, node: &Node, parameter: Type) -> Option<Argument> {
        if parameter == Type::Integer {
            return self.integer(node).map(Argument::Integer);
        }
        if let NodeKind::Word(name) = &node.kind
            && let Some(target) = self.string_named(name)
        {
            return Some(Argument::Reference(target));
        }
        self.string(node).map(Argument::Value)
    }
}
