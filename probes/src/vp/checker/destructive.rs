//! Checks destructive actions.

use crate::destructive::DestructiveAction;
use crate::diagnostic::Diagnostic;
use crate::ir::Integer;

use super::{Call, Checker};

impl Checker<'_> {
    pub(super) fn action(&mut self, call: &Call, action: DestructiveAction) -> Option<Integer> {
        if let Some([problem, label, help]) = action.refusal(&self.scope) {
            return self.fail(Diagnostic::error(call.head, problem, label).with_help(help));
        }
        let (expected, least, most) = action.arguments();
        if action == DestructiveAction::Dump {
            let [name] = call.arguments else { return self.arity(call, expected) };
            let name = Box::new(self.string(name)?);
            return Some(Integer::Dump(name, self.place(call.span)));
        }
        if !(least..=most).contains(&call.arguments.len()) {
            return self.arity(call, expected);
        }
        let arguments: Vec<_> =
            call.arguments.iter().map(|argument| self.integer(argument)).collect();
        let arguments = arguments.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Integer::Destructive(action, arguments, self.place(call.span)))
    }
}
