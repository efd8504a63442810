//! Prints statements and expressions of the IR as lists.

use super::super::{
    AggregateSlot, Argument, BagSlot, Expression, FunctionSlot, Integer, IntegerTarget, Piece,
    Program, Scan, Space, Statement, Str, StringTarget, Type,
};
use super::spelled;
use crate::sexpr::Sexpr;
use crate::source::Literal;

impl Expression {
    /// The type of the value.
    pub(super) fn of(&self) -> Type {
        match self {
            Self::Integer(_) => Type::Integer,
            Self::Str(_) => Type::Str,
        }
    }
}

impl Program {
    pub(super) fn statement(&self, statement: &Statement) -> Sexpr {
        match statement {
            Statement::Evaluate(expression) => self.expression(expression),
            Statement::If(condition, yes, no) if no.is_empty() => {
                Sexpr::list("if", [self.integer(condition), self.block("do", yes)])
            }
            Statement::If(condition, yes, no) => Sexpr::list(
                "if",
                [self.integer(condition), self.block("do", yes), self.block("else", no)],
            ),
            Statement::Loop { condition, body, step } => Sexpr::list(
                "loop",
                [self.integer(condition), self.block("do", body), self.block("step", step)],
            ),
            Statement::Break => Sexpr::list("break", []),
            Statement::Continue => Sexpr::list("continue", []),
            Statement::Return(value) => {
                Sexpr::list("return", value.iter().map(|value| self.expression(value)))
            }
            Statement::Try(body, handler) => {
                Sexpr::list("try", [self.block("do", body), self.block("catch", handler)])
            }
            Statement::Raise(_) => Sexpr::list("raise", []),
            Statement::Exit => Sexpr::list("exit", []),
            Statement::Unload => Sexpr::list("unload", []),
        }
    }

    fn block(&self, head: &str, statements: &[Statement]) -> Sexpr {
        Sexpr::list(head, statements.iter().map(|statement| self.statement(statement)))
    }

    pub(super) fn expression(&self, expression: &Expression) -> Sexpr {
        match expression {
            Expression::Integer(integer) => self.integer(integer),
            Expression::Str(string) => self.string(string),
        }
    }

    pub(super) fn integer(&self, integer: &Integer) -> Sexpr {
        match integer {
            Integer::Constant(value) => number(*value),
            Integer::Get(target) => target_of(*target),
            Integer::Builtin(variable, _) => Sexpr::word(variable.name),
            Integer::Fold(operator, operands, _) => self.integers(operator.sign(), operands),
            Integer::And(operands) => self.integers("&&", operands),
            Integer::Or(operands) => self.integers("||", operands),
            Integer::Not(operand) => Sexpr::list("!", [self.integer(operand)]),
            Integer::Complement(operand) => Sexpr::list("~", [self.integer(operand)]),
            Integer::Set(target, value) => {
                Sexpr::list("set", [target_of(*target), self.integer(value)])
            }
            Integer::Update(slot, operator, value, _) => {
                let target = target_of(IntegerTarget::Shared(*slot));
                let operator = Sexpr::word(operator.sign());
                Sexpr::list("update", [target, operator, self.integer(value)])
            }
            Integer::Choice(arms) => self.choice(arms, Self::integer),
            Integer::Sequence(before, last) => self.sequence(before, self.integer(last)),
            Integer::Call(function, arguments, _) => self.call(*function, arguments),
            Integer::Print(pieces) => Sexpr::list("print", self.pieces(pieces)),
            Integer::Format(target, pieces) => {
                Sexpr::list("format", [text_of(*target)].into_iter().chain(self.pieces(pieces)))
            }
            Integer::Compare(a, b) => Sexpr::list("compare", [self.string(a), self.string(b)]),
            Integer::GuestStack(target, _) => Sexpr::list("guest-stack", [text_of(*target)]),
            Integer::Load { space, address, size, .. } => {
                let head = format!("load{}", u32::from(*size) * 8);
                Sexpr::list(head, [space_of(*space), self.integer(address)])
            }
            Integer::LoadString { target, space, address, limit, .. } => {
                let [address, limit] = [address, limit].map(|part| self.integer(part));
                Sexpr::list("load-string", [text_of(*target), space_of(*space), address, limit])
            }
            Integer::SystemTime => Sexpr::list("system-time", []),
            Integer::GeneralRegister(number, _) => {
                Sexpr::list("general-register", [self.integer(number)])
            }
            Integer::ModelRegister(number, _) => {
                Sexpr::list("model-register", [self.integer(number)])
            }
            Integer::Task(value, _) => Sexpr::list(value.name(), []),
            Integer::Scan { scan, address, callee, .. } => {
                let operands = [address].into_iter().chain(callee);
                Sexpr::list(scan.name(), operands.map(|operand| self.integer(operand)))
            }
            Integer::Destructive(action, arguments, _) => self.integers(action.name(), arguments),
            Integer::Dump(file, _) => Sexpr::list("dump", [self.string(file)]),
            Integer::Aggregate { aggregate, integers, strings, value, .. } => {
                let [integers, strings] = self.keys(integers, strings);
                let name = self.aggregate(*aggregate);
                Sexpr::list("aggregate", [name, integers, strings, self.integer(value)])
            }
            Integer::AggregateRead { aggregate, integers, strings, reading, .. } => {
                let [integers, strings] = self.keys(integers, strings);
                let name = self.aggregate(*aggregate);
                Sexpr::list(format!("read-{}", reading.name()), [name, integers, strings])
            }
            Integer::LogAggregate(slot) => Sexpr::list("log-aggregate", [self.aggregate(*slot)]),
            Integer::ClearAggregate(slot) => {
                Sexpr::list("clear-aggregate", [self.aggregate(*slot)])
            }
            Integer::BagInsert(bag, key, value) => {
                let [key, value] = [key, value].map(|part| self.integer(part));
                Sexpr::list("bag-insert", [self.bag(*bag), key, value])
            }
            Integer::BagRemove(bag, key) => {
                Sexpr::list("bag-remove", [self.bag(*bag), self.integer(key)])
            }
        }
    }

    fn string(&self, string: &Str) -> Sexpr {
        match string {
            Str::Constant(bytes) => quoted(bytes),
            Str::Get(target) => text_of(*target),
            Str::ProbeName => Sexpr::word("PROBENAME"),
            Str::ExitName => Sexpr::word("EXITNAME"),
            Str::FaultName => Sexpr::list("fault-name", []),
            Str::FaultDescription => Sexpr::list("fault-description", []),
            Str::Set(target, value) => Sexpr::list("set", [text_of(*target), self.string(value)]),
            Str::Choice(arms) => self.choice(arms, Self::string),
            Str::Sequence(before, last) => self.sequence(before, self.string(last)),
            Str::Call(function, arguments, _) => self.call(*function, arguments),
            Str::Concatenate(parts) => {
                Sexpr::list("concatenate", parts.iter().map(|part| self.string(part)))
            }
            Str::Load(space, address, _) => {
                Sexpr::list("load-string", [space_of(*space), self.integer(address)])
            }
            Str::TaskName(_) => Sexpr::list("curprocname", []),
            Str::SymbolName(address) => Sexpr::list("symbol-name", [self.integer(address)]),
        }
    }

    fn integers(&self, head: &str, operands: &[Integer]) -> Sexpr {
        Sexpr::list(head, operands.iter().map(|operand| self.integer(operand)))
    }

    fn choice<T>(&self, arms: &[(Integer, T)], value: impl Fn(&Self, &T) -> Sexpr) -> Sexpr {
        let arm = |(condition, of): &(Integer, T)| {
            Sexpr::List(vec![self.integer(condition), value(self, of)])
        };
        Sexpr::list("cond", arms.iter().map(arm))
    }

    fn sequence(&self, before: &[Statement], last: Sexpr) -> Sexpr {
        let before = before.iter().map(|statement| self.statement(statement));
        Sexpr::list("do", before.chain([last]))
    }

    fn call(&self, slot: FunctionSlot, arguments: &[Argument]) -> Sexpr {
        let function = self.functions.get(slot.0);
        let name = function.map_or_else(|| "?".into(), |function| function.name.clone());
        let argument = |argument: &Argument| match argument {
            Argument::Integer(integer) => self.integer(integer),
            Argument::Reference(target) => Sexpr::list("reference", [text_of(*target)]),
            Argument::Value(string) => self.string(string),
        };
        let name = Sexpr::word(name);
        Sexpr::list("call", [name].into_iter().chain(arguments.iter().map(argument)))
    }

    /// The format of a printf, and then its arguments.
    fn pieces(&self, pieces: &[Piece]) -> Vec<Sexpr> {
        let mut format = Vec::new();
        let mut arguments = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Literal(bytes) => {
                    format.extend_from_slice(&crate::format::escaped(bytes));
                }
                Piece::Integer(conversion, integer) => {
                    format.extend_from_slice(conversion.to_string().as_bytes());
                    arguments.push(self.integer(integer));
                }
                Piece::Str(conversion, string) => {
                    format.extend_from_slice(conversion.to_string().as_bytes());
                    arguments.push(self.string(string));
                }
            }
        }
        arguments.insert(0, quoted(&format));
        arguments
    }

    fn keys(&self, integers: &[Integer], strings: &[Str]) -> [Sexpr; 2] {
        [
            Sexpr::List(integers.iter().map(|key| self.integer(key)).collect()),
            Sexpr::List(strings.iter().map(|key| self.string(key)).collect()),
        ]
    }

    fn aggregate(&self, slot: AggregateSlot) -> Sexpr {
        Sexpr::word(self.aggregates.get(slot.0).map_or("?", |shape| &shape.name))
    }

    fn bag(&self, slot: BagSlot) -> Sexpr {
        Sexpr::word(self.bags.get(slot.0).map_or("?", |bag| &bag.name))
    }
}

fn number(value: u64) -> Sexpr {
    Sexpr::Word(spelled(value))
}

fn quoted(bytes: &[u8]) -> Sexpr {
    Sexpr::Word(Literal::of_bytes(bytes).to_string())
}

fn target_of(target: IntegerTarget) -> Sexpr {
    Sexpr::Word(match target {
        IntegerTarget::Variable(slot) => format!("integers[{}]", slot.0),
        IntegerTarget::Shared(slot) => format!("shared[{}]", slot.0),
        IntegerTarget::Local(local) => format!("local-integers[{local}]"),
    })
}

fn text_of(target: StringTarget) -> Sexpr {
    Sexpr::Word(match target {
        StringTarget::Variable(slot) => format!("strings[{}]", slot.0),
        StringTarget::Local(local) => format!("local-strings[{local}]"),
        StringTarget::Parameter(local) => format!("string-parameters[{local}]"),
    })
}

fn space_of(space: Space) -> Sexpr {
    Sexpr::word(space.name())
}

impl Scan {
    /// The name of the scan in the IR and in instructions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Return => "scan-return",
            Self::Segment => "scan-segment",
            Self::Source => "scan-source",
        }
    }
}
