//! Prints instructions: a header for each function and probe, then a line for each of its
//! instructions, with its number.

use std::fmt::{self, Display, Formatter};

use super::{Code, Format, FormatPiece, Op, Routine};
use crate::ir::spelled;
use crate::source::Literal;

impl Display for Code {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut ends: Vec<u32> = self.functions.iter().map(|routine| routine.entry).collect();
        ends.extend(self.probes.iter().map(|probe| probe.routine.entry));
        ends.push(self.ops.len() as u32);
        ends.sort_unstable();
        let end = |routine: &Routine| {
            ends.iter().copied().find(|end| *end > routine.entry).unwrap_or(routine.entry)
        };
        for (number, routine) in self.functions.iter().enumerate() {
            writeln!(f, "function {number}: {routine}")?;
            self.lines(f, routine.entry, end(routine))?;
        }
        let mut known = None;
        for probe in &self.probes {
            writeln!(f, "probe {} at {}: {}", probe.written, probe.point, probe.routine)?;
            // The probes of a pattern share their instructions, which are printed once.
            let entry = probe.routine.entry;
            if known.replace(entry) != Some(entry) {
                self.lines(f, entry, end(&probe.routine))?;
            }
        }
        Ok(())
    }
}

impl Display for Routine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}", self.entry)?;
        if self.parameters > 0 {
            write!(f, ", {} parameters", self.parameters)?;
        }
        let (integers, strings) = (self.frame.integers, self.frame.strings);
        write!(f, ", locals {integers} integer, {strings} string")?;
        write!(f, ", stacks {} integer, {} string", self.depth, self.text_depth)
    }
}

impl Code {
    fn lines(&self, f: &mut Formatter<'_>, start: u32, end: u32) -> fmt::Result {
        let ops = self.ops.get(start as usize..end as usize).unwrap_or_default();
        (start..).zip(ops).try_for_each(|(number, op)| {
            let name = name(*op);
            match self.operand(*op) {
                operand if operand.is_empty() => writeln!(f, "{number:6}  {name}"),
                operand => writeln!(f, "{number:6}  {name:<18}{operand}"),
            }
        })
    }

    /// The operand of an instruction; empty if it has none.
    fn operand(&self, op: Op) -> String {
        match op {
            Op::Constant(value) => spelled(value),
            Op::Get(slot) | Op::Set(slot) => format!("integers[{slot}]"),
            Op::GetShared(slot) | Op::SetShared(slot) => format!("shared[{slot}]"),
            Op::UpdateShared(slot, operator) => format!("shared[{slot}] {}", operator.sign()),
            Op::GetLocal(local) | Op::SetLocal(local) => format!("local-integers[{local}]"),
            Op::Builtin(index) => {
                let variable = self.variables.get(index as usize);
                variable.map_or_else(String::new, |variable| variable.name.to_owned())
            }
            Op::Binary(operator) => operator.sign().into(),
            Op::BinaryConstant(operator, value) => {
                format!("{} {}", operator.sign(), spelled(u64::from(value)))
            }
            Op::Jump(target)
            | Op::JumpIfZero(target)
            | Op::JumpUnlessZero(target)
            | Op::Try(target) => target.to_string(),
            Op::Call { function, temporaries: 0 } => format!("function {function}"),
            Op::Call { function, temporaries } => {
                format!("function {function}, temporaries {temporaries}")
            }
            Op::Text(index) => quoted(self.texts.get(index as usize).map_or(&[], |text| text)),
            Op::GetText(slot) | Op::SetText(slot) | Op::ReferVariable(slot) => {
                format!("strings[{slot}]")
            }
            Op::GetLocalText(local) | Op::SetLocalText(local) | Op::ReferLocal(local) => {
                format!("local-strings[{local}]")
            }
            Op::GetParameter(local) | Op::SetParameter(local) => {
                format!("string-parameters[{local}]")
            }
            Op::Print(index) | Op::Format(index) => {
                self.formats.get(index as usize).map(Format::text).unwrap_or_default()
            }
            Op::Load(space, bytes) => format!("{} {bytes} bytes", space.name()),
            Op::LoadText(space) => space.name().into(),
            Op::Scan(scan) => scan.name().into(),
            Op::Destructive(action, count) => format!("{} {count} arguments", action.name()),
            Op::Aggregate(slot) | Op::LogAggregate(slot) | Op::ClearAggregate(slot) => {
                self.aggregate(slot)
            }
            Op::AggregateRead(slot, reading) => {
                format!("{} {}", self.aggregate(slot), reading.name())
            }
            Op::BagInsert(slot) | Op::BagRemove(slot) => {
                self.bags.get(slot as usize).map(|bag| bag.name.clone()).unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    fn aggregate(&self, slot: u32) -> String {
        self.aggregates.get(slot as usize).map(|shape| shape.name.clone()).unwrap_or_default()
    }
}

impl Format {
    /// The format as it is written in a script.
    fn text(&self) -> String {
        let mut text = Vec::new();
        for piece in &self.pieces {
            match piece {
                FormatPiece::Literal(bytes) => text.extend(crate::format::escaped(bytes)),
                FormatPiece::Integer(conversion) | FormatPiece::Text(conversion) => {
                    text.extend_from_slice(conversion.to_string().as_bytes());
                }
            }
        }
        quoted(&text)
    }
}

fn quoted(bytes: &[u8]) -> String {
    Literal::of_bytes(bytes).to_string()
}

fn name(op: Op) -> &'static str {
    match op {
        Op::Constant(_) => "constant",
        Op::Get(_) => "get",
        Op::Set(_) => "set",
        Op::GetShared(_) => "get-shared",
        Op::SetShared(_) => "set-shared",
        Op::UpdateShared(..) => "update-shared",
        Op::GetLocal(_) => "get-local",
        Op::SetLocal(_) => "set-local",
        Op::Duplicate => "duplicate",
        Op::Drop => "drop",
        Op::Builtin(_) => "builtin",
        Op::Binary(_) => "binary",
        Op::BinaryConstant(..) => "binary-constant",
        Op::Not => "not",
        Op::Complement => "complement",
        Op::Jump(_) => "jump",
        Op::JumpIfZero(_) => "jump-if-zero",
        Op::JumpUnlessZero(_) => "jump-unless-zero",
        Op::Call { .. } => "call",
        Op::ReturnInteger => "return-integer",
        Op::ReturnString => "return-string",
        Op::Try(_) => "try",
        Op::EndTry => "end-try",
        Op::Exit => "exit",
        Op::Unload => "unload",
        Op::Filtered => "filtered",
        Op::Raise => "raise",
        Op::Text(_) => "text",
        Op::GetText(_) => "get-text",
        Op::GetLocalText(_) => "get-local-text",
        Op::GetParameter(_) => "get-parameter",
        Op::SetText(_) => "set-text",
        Op::SetLocalText(_) => "set-local-text",
        Op::SetParameter(_) => "set-parameter",
        Op::DropText => "drop-text",
        Op::ReferVariable(_) => "refer-variable",
        Op::ReferLocal(_) => "refer-local",
        Op::ReferTop => "refer-top",
        Op::Append => "append",
        Op::EmptyText => "empty-text",
        Op::ProbeName => "probe-name",
        Op::ExitName => "exit-name",
        Op::FaultName => "fault-name",
        Op::FaultDescription => "fault-description",
        Op::Compare => "compare",
        Op::SymbolName => "symbol-name",
        Op::TaskName => "task-name",
        Op::Print(_) => "print",
        Op::Format(_) => "format",
        Op::GuestStack => "guest-stack",
        Op::Load(..) => "load",
        Op::LoadText(_) => "load-text",
        Op::SystemTime => "system-time",
        Op::GeneralRegister => "general-register",
        Op::ModelRegister => "model-register",
        Op::Task(_) => "task",
        Op::Scan(_) => "scan",
        Op::Destructive(..) => "destructive",
        Op::Dump => "dump",
        Op::Aggregate(_) => "aggregate",
        Op::AggregateRead(..) => "aggregate-read",
        Op::LogAggregate(_) => "log-aggregate",
        Op::ClearAggregate(_) => "clear-aggregate",
        Op::BagInsert(_) => "bag-insert",
        Op::BagRemove(_) => "bag-remove",
    }
}
