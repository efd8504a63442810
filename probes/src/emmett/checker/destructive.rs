//! Checks destructive actions.

use super::super::tree::Expression;
use super::Checker;
use super::value::Value;
use crate::destructive::DestructiveAction;
use crate::diagnostic::Diagnostic;
use crate::ir::Integer;
use crate::source::Span;

impl Checker<'_> {
    pub(super) fn action(
        &mut self,
        action: DestructiveAction,
        arguments: &[Expression],
        span: Span,
    ) -> Option<Value> {
        if let Some([problem, label, help]) = action.refusal(&self.scope) {
            return self.fail(Diagnostic::error(span, problem, label).with_help(help));
        }
        let (expected, least, most) = action.arguments();
        let name = action.name();
        if action == DestructiveAction::Dump {
            let [file] = arguments else { return self.arity(name, expected, span) };
            let file = Box::new(self.text(file)?);
            let place = self.place(span);
            return Value::number(Integer::Dump(file, place));
        }
        if !(least..=most).contains(&arguments.len()) {
            return self.arity(name, expected, span);
        }
        let arguments: Vec<_> = arguments.iter().map(|argument| self.integer(argument)).collect();
        let arguments = arguments.into_iter().collect::<Option<Vec<_>>>()?;
        let place = self.place(span);
        Value::number(Integer::Destructive(action, arguments, place))
    }
}
