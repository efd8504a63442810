//! Checks the functions of Emmett: those that it shares with VP, and a few of its own.

use super::super::tree::{Expression, Kind};
use super::super::types::Type;
use super::Checker;
use super::expression::Target;
use super::value::Value;
use crate::front::vocabulary::{self, Head, Value as Function};
use crate::ir::{
    self, Integer, IntegerTarget, Reading, Scan, Space, Statement, Str, StringTarget, TaskValue,
};
use crate::source::Span;
use crate::text::Text;

/// Functions that only Emmett has. They read a figure of an aggregate, or describe the error that
/// was caught.
pub(crate) const OWN: &[&str] =
    &["count", "sum", "avg", "min", "max", "latest", "excname", "excdesc"];

/// Forms of VP for which Emmett has its own syntax.
fn is_form(function: Function) -> bool {
    matches!(
        function,
        Function::SetInt
            | Function::SetStr
            | Function::Cond
            | Function::Do
            | Function::Aggr
            | Function::And
            | Function::Or
            | Function::Not
            | Function::Complement
            | Function::Fold(_)
    )
}

/// Whether this is the name of a built-in function.
pub(super) fn is_builtin(name: &str) -> bool {
    match vocabulary::head(name) {
        Some(Head::Value(function)) => !is_form(function),
        Some(_) => false,
        None => OWN.contains(&name),
    }
}

/// The names of the built-in functions, for suggestions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let shared = vocabulary::all().filter_map(|(name, head)| match head {
        Head::Value(function) if !is_form(function) => Some(name),
        _ => None,
    });
    shared.chain(OWN.iter().copied())
}

impl Checker<'_> {
    /// Checks a call of a built-in function. `name` must be one of [`names`].
    pub(super) fn builtin(
        &mut self,
        name: &str,
        arguments: &[Expression],
        span: Span,
    ) -> Option<Value> {
        let reading = match name {
            "excname" => return Some(Value::Text(Str::FaultName)),
            "excdesc" => return Some(Value::Text(Str::FaultDescription)),
            "gueststack" if arguments.is_empty() => return Some(self.stack_text(span)),
            "count" => Reading::Count,
            "sum" => Reading::Sum,
            "avg" => Reading::Average,
            "min" => Reading::Minimum,
            "max" => Reading::Maximum,
            "latest" => Reading::Latest,
            _ => match vocabulary::head(name) {
                Some(Head::Value(function)) => {
                    return self.function(function, name, arguments, span);
                }
                _ => return self.unknown(name, span, "expected a function"),
            },
        };
        if let [argument] = arguments
            && let Some((of, keys)) = self.keyed(argument)
            && self.is_aggregate(of)
        {
            return self.figure(of, keys, reading, span);
        }
        let problem = format!("{name} stands on the right of an aggregate, or has one inside");
        let label = "expected aggregate[key] = count() or count(aggregate[key])";
        self.wrong(span, problem, label)
    }

    fn function(
        &mut self,
        function: Function,
        name: &str,
        arguments: &[Expression],
        span: Span,
    ) -> Option<Value> {
        match function {
            Function::Printf => self.printf(arguments, span),
            Function::Sprintf => self.sprintf(arguments, span),
            Function::Assert => self.assert(arguments, span),
            Function::LogStr => self.log(name, arguments, span, true),
            Function::LogInt => self.log(name, arguments, span, false),
            Function::LogAggr => self.on_aggregate(name, arguments, span, Integer::LogAggregate),
            Function::ClearAggr => {
                self.on_aggregate(name, arguments, span, Integer::ClearAggregate)
            }
            Function::Exit => self.ending(name, arguments, span, Statement::Exit),
            Function::Unload => self.ending(name, arguments, span, Statement::Unload),
            Function::BagInsert | Function::BagRemove => {
                let problem = format!("{name} has another form here");
                self.wrong(span, problem, "expected bag[key] <- value, or bag[key] to take it out")
            }
            Function::Strcmp => match arguments {
                [a, b] => {
                    let a = self.text(a);
                    let b = self.text(b)?;
                    Value::number(Integer::Compare(Box::new(a?), Box::new(b)))
                }
                _ => self.arity(name, "two strings", span),
            },
            Function::GuestStack => match arguments {
                [target] => {
                    let target = self.string_target(target)?;
                    let place = self.place(span);
                    Value::number(Integer::GuestStack(target, place))
                }
                _ => self.arity(name, "a string variable or nothing", span),
            },
            Function::GetGuest => self.load(name, arguments, Space::Linear, span),
            Function::GetGuestPhys => self.load(name, arguments, Space::Physical, span),
            Function::GetGuestStr => self.load_string(name, arguments, Space::Linear, span),
            Function::GetGuestPhysStr => self.load_string(name, arguments, Space::Physical, span),
            Function::GetSystemTime => self.time(name, arguments, span),
            Function::OffAtRet => self.scan(name, arguments, Scan::Return, span),
            Function::OffAtSeg => self.scan(name, arguments, Scan::Segment, span),
            Function::OffAtStrcpy => self.scan(name, arguments, Scan::Source, span),
            Function::GetGpr => {
                let number = self.single(name, arguments, span)?;
                let place = self.place(span);
                Value::number(Integer::GeneralRegister(number, place))
            }
            Function::ReadMsr => {
                let number = self.single(name, arguments, span)?;
                let place = self.place(span);
                Value::number(Integer::ModelRegister(number, place))
            }
            Function::Destructive(action) => self.action(action, arguments, span),
            Function::SymName => {
                let address = self.single(name, arguments, span)?;
                Some(Value::Text(Str::SymbolName(address)))
            }
            Function::CurTask => self.task(name, arguments, TaskValue::Address, span),
            Function::CurPid => self.task(name, arguments, TaskValue::Process, span),
            Function::CurProcName => match arguments {
                [] => Some(Value::Text(Str::TaskName(self.place(span)))),
                _ => self.arity(name, "no arguments", span),
            },
            // `is_form` excludes the remaining forms.
            _ => self.unknown(name, span, "expected a function"),
        }
    }

    fn task(
        &mut self,
        name: &str,
        arguments: &[Expression],
        value: TaskValue,
        span: Span,
    ) -> Option<Value> {
        match arguments {
            [] => Value::number(Integer::Task(value, self.place(span))),
            _ => self.arity(name, "no arguments", span),
        }
    }

    /// Reports a wrong number of arguments.
    pub(super) fn arity<T>(&mut self, name: &str, expected: &str, span: Span) -> Option<T> {
        let problem = format!("{name} has the wrong number of arguments");
        self.wrong(span, problem, &format!("expected {expected}"))
    }

    fn single(&mut self, name: &str, arguments: &[Expression], span: Span) -> Option<Box<Integer>> {
        match arguments {
            [value] => self.integer(value).map(Box::new),
            _ => self.arity(name, "one integer", span),
        }
    }

    fn ending(
        &mut self,
        name: &str,
        arguments: &[Expression],
        span: Span,
        statement: Statement,
    ) -> Option<Value> {
        match arguments {
            [] => Some(Value::Nothing(vec![statement])),
            _ => self.arity(name, "none", span),
        }
    }

    fn string_target(&mut self, expression: &Expression) -> Option<StringTarget> {
        match self.target(expression)? {
            Target::Str(target) => Some(target),
            Target::Integer(..) => {
                self.wrong(expression.span, "this is an integer", "expected a string variable")
            }
        }
    }

    /// `gueststack()` as a value.
    fn stack_text(&mut self, span: Span) -> Value {
        let target = StringTarget::Local(self.new_string());
        let place = self.place(span);
        let walk = Statement::Evaluate(ir::Expression::Integer(Integer::GuestStack(target, place)));
        Value::Text(Str::Sequence(vec![walk], Box::new(Str::Get(target))))
    }

    /// Checks an address: a number, or a symbol in double quotes.
    fn at(&mut self, expression: &Expression) -> Option<Integer> {
        match &expression.kind {
            Kind::Text(literal) => {
                self.symbol(&literal.value, expression.span).map(Integer::Constant)
            }
            _ => self.integer(expression),
        }
    }

    fn load(
        &mut self,
        name: &str,
        arguments: &[Expression],
        space: Space,
        span: Span,
    ) -> Option<Value> {
        let [address] = arguments else { return self.arity(name, "an address", span) };
        let address = Box::new(self.at(address)?);
        let place = self.place(span);
        Value::number(Integer::Load { space, address, size: 8, place })
    }

    fn load_string(
        &mut self,
        name: &str,
        arguments: &[Expression],
        space: Space,
        span: Span,
    ) -> Option<Value> {
        let (target, limit, address) = match arguments {
            [target, limit, address] => (target, self.integer(limit)?, address),
            [target, address] => (target, Integer::Constant(Text::MAX as u64), address),
            _ => return self.arity(name, "a string variable, a number of bytes, an address", span),
        };
        let address = Box::new(self.at(address)?);
        let target = self.string_target(target)?;
        let (limit, place) = (Box::new(limit), self.place(span));
        Value::number(Integer::LoadString { target, space, address, limit, place })
    }

    fn time(&mut self, name: &str, arguments: &[Expression], span: Span) -> Option<Value> {
        match arguments {
            [] => Value::number(Integer::SystemTime),
            [target] => {
                let Target::Integer(target, _) = self.target(target)? else {
                    return self.wrong(target.span, "this is a string", "expected an integer");
                };
                let set = Integer::Set(target, Box::new(Integer::SystemTime));
                let done = Statement::Evaluate(ir::Expression::Integer(set));
                Value::number(Integer::Sequence(vec![done], Box::new(Integer::Constant(1))))
            }
            _ => self.arity(name, "nothing", span),
        }
    }

    fn scan(
        &mut self,
        name: &str,
        arguments: &[Expression],
        scan: Scan,
        span: Span,
    ) -> Option<Value> {
        let (address, callee) = match (scan, arguments) {
            (Scan::Source, [address, callee]) => (address, Some(Box::new(self.at(callee)?))),
            (Scan::Source, _) => return self.arity(name, "an address and that of strcpy", span),
            (_, [address]) => (address, None),
            _ => return self.arity(name, "an address", span),
        };
        let address = Box::new(self.at(address)?);
        let place = self.place(span);
        Value::number(Integer::Scan { scan, address, callee, place })
    }

    /// A new local integer with an initial value.
    pub(super) fn initialised(&mut self, of: Type, value: Integer) -> (super::Local, Statement) {
        let local = self.new_integer();
        let set = Integer::Set(IntegerTarget::Local(local), Box::new(value));
        (super::Local::Integer(local, of), Statement::Evaluate(ir::Expression::Integer(set)))
    }
}
