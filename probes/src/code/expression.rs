//! Generates instructions for expressions. Each expression leaves its value on top of its stack.

use super::generate::Generator;
use super::{Format, FormatPiece, Op};
use crate::ir::{
    Argument, FunctionSlot, Integer, IntegerTarget, Operator, Piece, Place, Str, StringTarget,
};

impl Generator {
    #[allow(clippy::too_many_lines)] // one line or two for each kind
    pub(super) fn integer(&mut self, integer: &Integer) {
        match integer {
            Integer::Constant(value) => self.op(Op::Constant(*value)),
            Integer::Get(IntegerTarget::Variable(slot)) => self.op(Op::Get(slot.0 as u32)),
            Integer::Get(IntegerTarget::Shared(slot)) => self.op(Op::GetShared(slot.0 as u32)),
            Integer::Get(IntegerTarget::Local(local)) => self.op(Op::GetLocal(*local)),
            Integer::Builtin(variable, place) => {
                let index = self.variable(*variable);
                self.emit_at(Op::Builtin(index), *place);
            }
            Integer::Fold(operator, operands, place) => self.fold(*operator, operands, *place),
            Integer::And(operands) => self.early(operands, Op::JumpIfZero, 1, 0),
            Integer::Or(operands) => self.early(operands, Op::JumpUnlessZero, 0, 1),
            Integer::Not(operand) => {
                self.integer(operand);
                self.op(Op::Not);
            }
            Integer::Complement(operand) => {
                self.integer(operand);
                self.op(Op::Complement);
            }
            Integer::Set(target, value) => {
                self.integer(value);
                self.op(Op::Duplicate);
                self.store(*target);
            }
            Integer::Update(slot, operator, by, place) => {
                self.integer(by);
                self.emit_at(Op::UpdateShared(slot.0 as u32, *operator), *place);
            }
            Integer::Choice(arms) => {
                let values = arms.iter().map(|(condition, value)| (condition, value));
                self.choice(values, Self::integer, |g| g.op(Op::Constant(0)), Self::forget_integer);
            }
            Integer::Sequence(before, last) => {
                self.statements(before);
                self.integer(last);
            }
            Integer::Call(function, arguments, place) => {
                self.call(*function, arguments, *place);
                self.adjust(1, 0);
            }
            Integer::Print(pieces) => {
                let format = self.pieces(pieces);
                self.op(Op::Print(format));
            }
            Integer::Format(target, pieces) => {
                let format = self.pieces(pieces);
                self.op(Op::Format(format));
                self.keep(*target);
            }
            Integer::Compare(a, b) => {
                self.string(a);
                self.string(b);
                self.op(Op::Compare);
            }
            Integer::GuestStack(target, place) => {
                self.emit_at(Op::GuestStack, *place);
                self.keep(*target);
            }
            Integer::Load { space, address, size, place } => {
                self.integer(address);
                self.emit_at(Op::Load(*space, *size), *place);
            }
            Integer::LoadString { target, space, address, limit, place } => {
                self.integer(address);
                self.integer(limit);
                self.emit_at(Op::LoadText(*space), *place);
                self.keep(*target);
            }
            Integer::SystemTime => self.op(Op::SystemTime),
            Integer::GeneralRegister(number, place) => {
                self.integer(number);
                self.emit_at(Op::GeneralRegister, *place);
            }
            Integer::ModelRegister(number, place) => {
                self.integer(number);
                self.emit_at(Op::ModelRegister, *place);
            }
            Integer::Task(value, place) => self.emit_at(Op::Task(*value), *place),
            Integer::Scan { scan, address, callee, place } => {
                self.integer(address);
                if let Some(callee) = callee {
                    self.integer(callee);
                }
                self.emit_at(Op::Scan(*scan), *place);
            }
            Integer::Destructive(action, arguments, place) => {
                for argument in arguments {
                    self.integer(argument);
                }
                self.emit_at(Op::Destructive(*action, arguments.len() as u8), *place);
            }
            Integer::Dump(name, place) => {
                self.string(name);
                self.emit_at(Op::Dump, *place);
            }
            Integer::Aggregate { aggregate, integers, strings, value, place } => {
                self.keys(integers, strings);
                self.integer(value);
                self.emit_at(Op::Aggregate(aggregate.0 as u32), *place);
                self.adjust(-(integers.len() as i32), -(strings.len() as i32));
            }
            Integer::AggregateRead { aggregate, integers, strings, reading, place } => {
                self.keys(integers, strings);
                self.emit_at(Op::AggregateRead(aggregate.0 as u32, *reading), *place);
                self.adjust(1 - integers.len() as i32, -(strings.len() as i32));
            }
            Integer::LogAggregate(slot) => self.op(Op::LogAggregate(slot.0 as u32)),
            Integer::ClearAggregate(slot) => self.op(Op::ClearAggregate(slot.0 as u32)),
            Integer::BagInsert(slot, key, value) => {
                self.integer(key);
                self.integer(value);
                self.op(Op::BagInsert(slot.0 as u32));
            }
            Integer::BagRemove(slot, key) => {
                self.integer(key);
                self.op(Op::BagRemove(slot.0 as u32));
            }
        }
    }

    pub(super) fn string(&mut self, string: &Str) {
        match string {
            Str::Constant(text) => {
                let index = self.text(text);
                self.op(Op::Text(index));
            }
            Str::Get(StringTarget::Variable(slot)) => self.op(Op::GetText(slot.0 as u32)),
            Str::Get(StringTarget::Local(local)) => self.op(Op::GetLocalText(*local)),
            Str::Get(StringTarget::Parameter(local)) => self.op(Op::GetParameter(*local)),
            Str::ProbeName => self.op(Op::ProbeName),
            Str::ExitName => self.op(Op::ExitName),
            Str::FaultName => self.op(Op::FaultName),
            Str::FaultDescription => self.op(Op::FaultDescription),
            Str::Set(target, value) => {
                self.string(value);
                self.store_text(*target);
            }
            Str::Choice(arms) => {
                let values = arms.iter().map(|(condition, value)| (condition, value));
                self.choice(values, Self::string, |g| g.op(Op::EmptyText), Self::forget_text);
            }
            Str::Sequence(before, last) => {
                self.statements(before);
                self.string(last);
            }
            Str::Call(function, arguments, place) => {
                self.call(*function, arguments, *place);
                self.adjust(0, 1);
            }
            Str::Concatenate(parts) => {
                self.op(Op::EmptyText);
                for part in parts {
                    self.string(part);
                    self.op(Op::Append);
                }
            }
            Str::Load(space, address, place) => {
                self.integer(address);
                self.op(Op::Constant(crate::text::Text::MAX as u64));
                self.emit_at(Op::LoadText(*space), *place);
            }
            Str::TaskName(place) => self.emit_at(Op::TaskName, *place),
            Str::SymbolName(address) => {
                self.integer(address);
                self.op(Op::SymbolName);
            }
        }
    }

    /// Pops an integer into a target.
    pub(super) fn store(&mut self, target: IntegerTarget) {
        match target {
            IntegerTarget::Variable(slot) => self.op(Op::Set(slot.0 as u32)),
            IntegerTarget::Shared(slot) => self.op(Op::SetShared(slot.0 as u32)),
            IntegerTarget::Local(local) => self.op(Op::SetLocal(local)),
        }
    }

    fn store_text(&mut self, target: StringTarget) {
        match target {
            StringTarget::Variable(slot) => self.op(Op::SetText(slot.0 as u32)),
            StringTarget::Local(local) => self.op(Op::SetLocalText(local)),
            StringTarget::Parameter(local) => self.op(Op::SetParameter(local)),
        }
    }

    /// Pops a string into a target, and pushes 1.
    fn keep(&mut self, target: StringTarget) {
        self.store_text(target);
        self.op(Op::DropText);
        self.op(Op::Constant(1));
    }

    fn fold(&mut self, operator: Operator, operands: &[Integer], place: Place) {
        let Some((first, rest)) = operands.split_first() else {
            return self.op(Op::Constant(0));
        };
        self.integer(first);
        for operand in rest {
            match operand {
                Integer::Constant(value) if u32::try_from(*value).is_ok() => {
                    self.emit_at(Op::BinaryConstant(operator, *value as u32), place);
                }
                other => {
                    self.integer(other);
                    self.emit_at(Op::Binary(operator), place);
                }
            }
        }
    }

    /// Generates `&&` and `||`. The result is `stopped` if an operand ends the evaluation, else
    /// `all`.
    fn early(&mut self, operands: &[Integer], stop: fn(u32) -> Op, all: u64, stopped: u64) {
        let mut stops = Vec::with_capacity(operands.len());
        for operand in operands {
            self.integer(operand);
            stops.push(self.jump(stop));
        }
        self.op(Op::Constant(all));
        let end = self.jump(Op::Jump);
        self.forget_integer();
        for stop in stops {
            self.land(stop);
        }
        self.op(Op::Constant(stopped));
        self.land(end);
    }

    fn choice<'a, T: 'a>(
        &mut self,
        arms: impl Iterator<Item = (&'a Integer, &'a T)>,
        value: fn(&mut Self, &T),
        none: fn(&mut Self),
        forget: fn(&mut Self),
    ) {
        let mut ends = Vec::new();
        for (condition, arm) in arms {
            self.integer(condition);
            let next = self.jump(Op::JumpIfZero);
            value(self, arm);
            ends.push(self.jump(Op::Jump));
            forget(self);
            self.land(next);
        }
        none(self);
        for end in ends {
            self.land(end);
        }
    }

    fn keys(&mut self, integers: &[Integer], strings: &[Str]) {
        for key in integers {
            self.integer(key);
        }
        for key in strings {
            self.string(key);
        }
    }

    fn pieces(&mut self, pieces: &[Piece]) -> u32 {
        let mut format = Format::default();
        for piece in pieces {
            format.pieces.push(match piece {
                Piece::Literal(bytes) => FormatPiece::Literal(bytes.as_slice().into()),
                Piece::Integer(conversion, value) => {
                    self.integer(value);
                    format.integers += 1;
                    FormatPiece::Integer(*conversion)
                }
                Piece::Str(conversion, value) => {
                    self.string(value);
                    format.texts += 1;
                    FormatPiece::Text(*conversion)
                }
            });
        }
        self.format(format)
    }

    fn call(&mut self, function: FunctionSlot, arguments: &[Argument], place: Place) {
        let mut temporaries = 0;
        for argument in arguments {
            match argument {
                Argument::Integer(value) => self.integer(value),
                Argument::Reference(StringTarget::Variable(slot)) => {
                    self.op(Op::ReferVariable(slot.0 as u32));
                }
                Argument::Reference(StringTarget::Local(local)) => {
                    self.op(Op::ReferLocal(*local));
                }
                // Passes on the reference that this function was given.
                Argument::Reference(StringTarget::Parameter(local)) => {
                    self.op(Op::GetLocal(*local));
                }
                Argument::Value(value) => {
                    self.string(value);
                    self.op(Op::ReferTop);
                    temporaries += 1;
                }
            }
        }
        self.emit_at(Op::Call { function: function.0 as u32, temporaries }, place);
        self.adjust(-(arguments.len() as i32), -(temporaries as i32));
    }
}
