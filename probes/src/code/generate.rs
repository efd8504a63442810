//! Generates instructions for programs, probes and functions. Expressions and statements are in
//! their own files.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Code, Format, Op, Probe, Routine};
use crate::ir::{self, Expression, Frame, Integer, Place, Program, Statement};
use crate::point::Found;
use crate::variable::Variable;

/// Generates the code of a whole program.
pub(super) fn all(program: Program) -> Code {
    let mut generator = Generator::default();
    let mut functions = Vec::with_capacity(program.functions.len());
    for function in &program.functions {
        let parameters = function.parameters.len() as u32;
        functions.push(generator.routine(parameters, function.frame, |generator| {
            generator.in_function = true;
            generator.statements(&function.body);
            generator.returned(&function.result);
        }));
    }
    let mut probes = Vec::with_capacity(program.probes.len());
    for probe in program.probes {
        let routine = generator.routine(0, probe.frame, |generator| {
            generator.in_function = false;
            generator.probe(probe.predicate.as_ref(), &probe.body);
        });
        let ir::Probe { written, span, .. } = probe;
        probes.extend(probe.points.into_iter().map(|Found { point, name }| Probe {
            point,
            name,
            written: Arc::clone(&written),
            span,
            routine,
        }));
    }
    Code {
        ops: generator.ops,
        debug_spans: generator.debug_spans,
        probes,
        functions,
        variables: generator.variables,
        texts: generator.texts,
        formats: generator.formats,
        integers: program.integers,
        shared_integers: program.shared_integers,
        strings: program.strings,
        aggregates: program.aggregates,
        bags: program.bags,
        places: program.places,
        sources: program.sources,
    }
}

/// A loop whose end isn't generated yet.
#[derive(Default)]
pub(super) struct Loop {
    /// Jumps that leave the loop.
    pub(super) breaks: Vec<usize>,
    /// Jumps to the loop's step.
    pub(super) continues: Vec<usize>,
    /// How many `try`s were open where the loop begins.
    pub(super) tries: u32,
}

#[derive(Default)]
pub(super) struct Generator {
    pub(super) ops: Vec<Op>,
    debug_spans: Vec<Option<Place>>,
    variables: Vec<Variable>,
    texts: Vec<Box<[u8]>>,
    /// The index of each literal in `texts`.
    known_texts: HashMap<Box<[u8]>, u32>,
    formats: Vec<Format>,
    pub(super) loops: Vec<Loop>,
    /// The number of `try`s that are open in this routine.
    pub(super) tries: u32,
    pub(super) in_function: bool,
    /// How many operands are on the integer stack now, and the most so far.
    depth: (u32, u32),
    text_depth: (u32, u32),
}

impl Generator {
    fn routine(&mut self, parameters: u32, frame: Frame, body: impl FnOnce(&mut Self)) -> Routine {
        let entry = self.ops.len() as u32;
        self.depth = (0, 0);
        self.text_depth = (0, 0);
        self.tries = 0;
        self.loops.clear();
        body(self);
        Routine { entry, parameters, frame, depth: self.depth.1, text_depth: self.text_depth.1 }
    }

    fn probe(&mut self, predicate: Option<&Integer>, body: &[Statement]) {
        if let Some(predicate) = predicate {
            self.integer(predicate);
            let pass = self.jump(Op::JumpUnlessZero);
            self.op(Op::Filtered);
            self.land(pass);
        }
        self.statements(body);
        self.op(Op::Exit);
    }

    /// Generates a return with a value.
    pub(super) fn returned(&mut self, value: &Expression) {
        match value {
            Expression::Integer(integer) => {
                self.integer(integer);
                self.op(Op::ReturnInteger);
            }
            Expression::Str(string) => {
                self.string(string);
                self.op(Op::ReturnString);
            }
        }
    }

    pub(super) fn op(&mut self, op: Op) {
        self.put(op, None);
    }

    /// Emits an instruction that can fail.
    pub(super) fn emit_at(&mut self, op: Op, place: Place) {
        self.put(op, Some(place));
    }

    fn put(&mut self, op: Op, place: Option<Place>) {
        let (integers, texts) = self.effect(op);
        step(&mut self.depth, integers);
        step(&mut self.text_depth, texts);
        self.ops.push(op);
        self.debug_spans.push(place);
    }

    /// Emits a jump whose target isn't known yet.
    pub(super) fn jump(&mut self, kind: fn(u32) -> Op) -> usize {
        self.op(kind(u32::MAX));
        self.ops.len() - 1
    }

    /// The index of the next instruction.
    pub(super) fn here(&self) -> u32 {
        self.ops.len() as u32
    }

    /// Sets a jump's target to the next instruction.
    pub(super) fn land(&mut self, jump: usize) {
        let here = self.here();
        if let Some(Op::Jump(aim) | Op::JumpIfZero(aim) | Op::JumpUnlessZero(aim) | Op::Try(aim)) =
            self.ops.get_mut(jump)
        {
            *aim = here;
        }
    }

    /// Corrects the depth where two branches meet that each leave a value: only one of the values
    /// is on the stack.
    pub(super) fn forget_integer(&mut self) {
        step(&mut self.depth, -1);
    }

    /// The same for strings.
    pub(super) fn forget_text(&mut self) {
        step(&mut self.text_depth, -1);
    }

    pub(super) fn text(&mut self, text: &[u8]) -> u32 {
        if let Some(index) = self.known_texts.get(text) {
            return *index;
        }
        let index = self.texts.len() as u32;
        self.texts.push(text.into());
        self.known_texts.insert(text.into(), index);
        index
    }

    pub(super) fn variable(&mut self, variable: Variable) -> u32 {
        let known = self.variables.iter().position(|other| other.name == variable.name);
        known.unwrap_or_else(|| {
            self.variables.push(variable);
            self.variables.len() - 1
        }) as u32
    }

    pub(super) fn format(&mut self, format: Format) -> u32 {
        self.formats.push(format);
        self.formats.len() as u32 - 1
    }

    /// How many integers and strings an instruction adds to the stacks. Operands whose number
    /// depends on an aggregate or a function are not subtracted here, so the result may be too
    /// high, but never too low.
    fn effect(&self, op: Op) -> (i32, i32) {
        match op {
            Op::Constant(_)
            | Op::Get(_)
            | Op::GetShared(_)
            | Op::GetLocal(_)
            | Op::Duplicate
            | Op::Builtin(_)
            | Op::ReferVariable(_)
            | Op::ReferLocal(_)
            | Op::ReferTop
            | Op::SystemTime
            | Op::LogAggregate(_)
            | Op::ClearAggregate(_) => (1, 0),
            Op::Set(_)
            | Op::SetShared(_)
            | Op::SetLocal(_)
            | Op::Drop
            | Op::Binary(_)
            | Op::JumpIfZero(_)
            | Op::JumpUnlessZero(_)
            | Op::ReturnInteger
            | Op::BagInsert(_)
            | Op::Scan(crate::ir::Scan::Source) => (-1, 0),
            Op::Text(_)
            | Op::GetText(_)
            | Op::GetLocalText(_)
            | Op::GetParameter(_)
            | Op::EmptyText
            | Op::ProbeName
            | Op::ExitName
            | Op::FaultName
            | Op::FaultDescription
            | Op::GuestStack
            | Op::TaskName => (0, 1),
            Op::DropText | Op::Append | Op::ReturnString => (0, -1),
            Op::Compare => (1, -2),
            Op::Dump => (1, -1),
            Op::Destructive(_, count) => (1 - i32::from(count), 0),
            Op::SymbolName => (-1, 1),
            Op::LoadText(_) => (-2, 1),
            Op::Print(format) => {
                let (integers, texts) = self.taken(format);
                (1 - integers, -texts)
            }
            Op::Format(format) => {
                let (integers, texts) = self.taken(format);
                (-integers, 1 - texts)
            }
            // What aggregates and calls pop, and the string that a function returns, is counted by
            // the caller, through `adjust`.
            _ => (0, 0),
        }
    }

    fn taken(&self, format: u32) -> (i32, i32) {
        let format = self.formats.get(format as usize);
        format.map_or((0, 0), |format| (format.integers as i32, format.texts as i32))
    }

    /// Corrects the depths after an instruction whose effect only the caller knows.
    pub(super) fn adjust(&mut self, integers: i32, texts: i32) {
        step(&mut self.depth, integers);
        step(&mut self.text_depth, texts);
    }
}

fn step((now, most): &mut (u32, u32), by: i32) {
    *now = now.saturating_add_signed(by);
    *most = (*most).max(*now);
}
