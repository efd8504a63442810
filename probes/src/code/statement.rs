//! Generates instructions for statements.

use super::Op;
use super::generate::{Generator, Loop};
use crate::ir::{Expression, Integer, Statement, Str};

impl Generator {
    pub(super) fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Evaluate(expression) => self.dropped(expression),
            Statement::If(condition, yes, no) => {
                self.integer(condition);
                let other = self.jump(Op::JumpIfZero);
                self.statements(yes);
                if no.is_empty() {
                    self.land(other);
                } else {
                    let end = self.jump(Op::Jump);
                    self.land(other);
                    self.statements(no);
                    self.land(end);
                }
            }
            Statement::Loop { condition, body, step } => self.looped(condition, body, step),
            Statement::Break => self.leave(|current| &mut current.breaks),
            Statement::Continue => self.leave(|current| &mut current.continues),
            Statement::Return(Some(value)) if self.in_function => self.returned(value),
            Statement::Return(Some(value)) => {
                self.dropped(value);
                self.op(Op::Exit);
            }
            Statement::Try(body, handler) => {
                let failed = self.jump(Op::Try);
                self.tries += 1;
                self.statements(body);
                self.tries -= 1;
                self.op(Op::EndTry);
                let end = self.jump(Op::Jump);
                self.land(failed);
                self.statements(handler);
                self.land(end);
            }
            Statement::Raise(place) => self.emit_at(Op::Raise, *place),
            Statement::Exit | Statement::Return(None) => self.op(Op::Exit),
            Statement::Unload => self.op(Op::Unload),
        }
    }

    fn looped(&mut self, condition: &Integer, body: &[Statement], step: &[Statement]) {
        let start = self.here();
        self.integer(condition);
        let end = self.jump(Op::JumpIfZero);
        self.loops.push(Loop { tries: self.tries, ..Loop::default() });
        self.statements(body);
        let done = self.loops.pop().unwrap_or_default();
        for jump in done.continues {
            self.land(jump);
        }
        self.statements(step);
        self.op(Op::Jump(start));
        self.land(end);
        for jump in done.breaks {
            self.land(jump);
        }
    }

    /// Generates a jump out of a loop's body, which first closes the `try`s that were opened in it.
    fn leave(&mut self, list: fn(&mut Loop) -> &mut Vec<usize>) {
        let Some(outer) = self.loops.last().map(|current| current.tries) else { return };
        for _ in outer..self.tries {
            self.op(Op::EndTry);
        }
        let jump = self.jump(Op::Jump);
        if let Some(current) = self.loops.last_mut() {
            list(current).push(jump);
        }
    }

    /// Generates an expression whose value is not used. An expression without an effect generates
    /// nothing, and an assignment doesn't read its variable back.
    fn dropped(&mut self, expression: &Expression) {
        match expression {
            Expression::Integer(Integer::Constant(_) | Integer::Get(_))
            | Expression::Str(Str::Constant(_) | Str::Get(_)) => {}
            Expression::Integer(Integer::Set(target, value)) => {
                self.integer(value);
                self.store(*target);
            }
            Expression::Integer(Integer::Sequence(before, last)) => {
                self.statements(before);
                self.dropped_integer(last);
            }
            Expression::Integer(Integer::Choice(arms)) => {
                let mut ends = Vec::with_capacity(arms.len());
                for (condition, value) in arms {
                    self.integer(condition);
                    let next = self.jump(Op::JumpIfZero);
                    self.dropped_integer(value);
                    ends.push(self.jump(Op::Jump));
                    self.land(next);
                }
                for end in ends {
                    self.land(end);
                }
            }
            Expression::Integer(integer) => {
                self.integer(integer);
                self.op(Op::Drop);
            }
            Expression::Str(string) => {
                self.string(string);
                self.op(Op::DropText);
            }
        }
    }

    fn dropped_integer(&mut self, integer: &Integer) {
        match integer {
            Integer::Constant(_) | Integer::Get(_) => {}
            Integer::Set(target, value) => {
                self.integer(value);
                self.store(*target);
            }
            other => {
                self.integer(other);
                self.op(Op::Drop);
            }
        }
    }
}
