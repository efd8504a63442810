//! Instructions for a small stack machine, made of a checked [`Program`].
//!
//! The engine runs this form rather than the trees: it needs no native stack, whose depth a script
//! would decide; every step is counted where it is taken; and it costs a nanosecond or two a step.
//! Integers live on one stack, strings on another. A frame is the locals of a probe or function at
//! the bottom of its part of both stacks.

mod expression;
mod generate;
mod statement;

use std::sync::Arc;

use crate::aggregate::Shape;
use crate::destructive::DestructiveAction;
use crate::format::Conversion;
use crate::ir::{Bag, Frame, Operator, Place, Program, Reading, Scan, Space};
use crate::point::Point;
use crate::source::{Source, Span};
use crate::text::Text;
use crate::variable::Variable;

/// One instruction. "Pops" and "pushes" mean the integers' stack unless strings are named; the
/// operand that was pushed last is popped first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Pushes a number.
    Constant(u64),
    /// Pushes a variable.
    Get(u32),
    /// Pops into a variable.
    Set(u32),
    /// Pushes a variable that all vCPUs share.
    GetShared(u32),
    /// Pops into a variable that all vCPUs share.
    SetShared(u32),
    /// Pops an operand, changes a shared variable by it, and pushes its new value.
    UpdateShared(u32, Operator),
    /// Pushes a local.
    GetLocal(u32),
    /// Pops into a local.
    SetLocal(u32),
    /// Pushes the top again.
    Duplicate,
    /// Pops.
    Drop,
    /// Pushes a built-in variable, by its index in [`Code::variables`].
    Builtin(u32),
    /// Pops two, pushes one.
    Binary(Operator),
    /// Pops one, pushes one: the operator with this as its second operand.
    BinaryConstant(Operator, u32),
    /// 1 for 0, 0 for anything else.
    Not,
    /// Every bit turned over.
    Complement,
    /// Goes on elsewhere.
    Jump(u32),
    /// Pops, and goes on elsewhere if it was 0.
    JumpIfZero(u32),
    /// Pops, and goes on elsewhere if it was not 0.
    JumpUnlessZero(u32),
    /// Calls a function, whose arguments are pushed; so many strings were pushed for them.
    Call {
        /// Which.
        function: u32,
        /// Strings below the frame that go with it.
        temporaries: u32,
    },
    /// Pops what the function yields, and goes back with it.
    ReturnInteger,
    /// The same with a string.
    ReturnString,
    /// Errors go on at this instruction, until [`Op::EndTry`].
    Try(u32),
    /// Ends the innermost `try`.
    EndTry,
    /// Ends the firing.
    Exit,
    /// Ends the script.
    Unload,
    /// A predicate was 0: the firing was none.
    Filtered,
    /// An assertion has failed.
    Raise,
    /// Pushes a string: a literal of [`Code::texts`].
    Text(u32),
    /// Pushes a string: a variable.
    GetText(u32),
    /// Pushes a string: a local.
    GetLocalText(u32),
    /// Pushes a string: what a parameter refers to.
    GetParameter(u32),
    /// Copies the top string into a variable.
    SetText(u32),
    /// Copies the top string into a local.
    SetLocalText(u32),
    /// Copies the top string into what a parameter refers to.
    SetParameter(u32),
    /// Pops a string.
    DropText,
    /// Pushes a reference to a string variable.
    ReferVariable(u32),
    /// Pushes a reference to a local string.
    ReferLocal(u32),
    /// Pushes a reference to the top string.
    ReferTop,
    /// Pops a string and appends it to the one below.
    Append,
    /// Pushes an empty string.
    EmptyText,
    /// Pushes the probe's name as a string.
    ProbeName,
    /// Pushes the exit's name as a string.
    ExitName,
    /// Pushes the last fault's name as a string.
    FaultName,
    /// Pushes the last fault's description as a string.
    FaultDescription,
    /// Pops two strings, pushes how the first compares to the second.
    Compare,
    /// Pops an address, pushes its symbol as a string.
    SymbolName,
    /// Pops the arguments of [`Code::formats`], prints them, pushes 1 or 0.
    Print(u32),
    /// Pops the arguments of [`Code::formats`], pushes what they make as a string.
    Format(u32),
    /// Pushes the guest's stack as a string.
    GuestStack,
    /// Pops an address, pushes so many bytes from there.
    Load(Space, u8),
    /// Pops the most bytes, then an address; pushes the string from there.
    LoadText(Space),
    /// Pushes microseconds.
    SystemTime,
    /// Pops a register's number, pushes its value.
    GeneralRegister,
    /// Pops an MSR's number, pushes its value.
    ModelRegister,
    /// Pops the callee if there is one, then an address; pushes what the scan found.
    Scan(Scan),
    /// Pops so many integers, does it, pushes 1.
    Destructive(DestructiveAction, u8),
    /// Pops a string, writes the machine to the file of that name; pushes 1, or 0 if that is one too many.
    Dump,
    /// Pops a value and the integer and string keys; pushes 1 or 0.
    Aggregate(u32),
    /// Pops the keys, pushes a figure.
    AggregateRead(u32, Reading),
    /// Pushes 1 or 0.
    LogAggregate(u32),
    /// Pushes 1.
    ClearAggregate(u32),
    /// Pops a value, then a key; pushes 1 or 0.
    BagInsert(u32),
    /// Pops a key, pushes a value.
    BagRemove(u32),
}

/// A function's entrance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Routine {
    /// Its first instruction.
    pub entry: u32,
    /// Integers and references that the caller has pushed.
    pub parameters: u32,
    /// Its locals, the parameters included.
    pub frame: Frame,
    /// The most integers that it pushes above its frame.
    pub depth: u32,
    /// The most strings that it pushes above its frame.
    pub text_depth: u32,
}

/// What runs at a point.
#[derive(Debug)]
pub struct Probe {
    /// The point.
    pub point: Point,
    /// The point's own name: as the script calls it, unless that is a pattern.
    pub name: Arc<str>,
    /// The point or the pattern as the script calls it.
    pub written: Arc<str>,
    /// Where it is in the script.
    pub span: Span,
    /// Its instructions.
    pub routine: Routine,
}

/// A piece of a printf, whose arguments are on the stacks.
#[derive(Debug)]
pub enum FormatPiece {
    /// Bytes as they are.
    Literal(Box<[u8]>),
    /// The next integer.
    Integer(Conversion),
    /// The next string.
    Text(Conversion),
}

/// A printf.
#[derive(Debug, Default)]
pub struct Format {
    /// In order.
    pub pieces: Vec<FormatPiece>,
    /// How many integers it takes.
    pub integers: u32,
    /// How many strings it takes.
    pub texts: u32,
}

/// A script, ready to run.
#[derive(Debug)]
pub struct Code {
    /// All instructions.
    pub ops: Vec<Op>,
    /// For each instruction, what to blame if it fails.
    pub debug_spans: Vec<Option<Place>>,
    /// In the order of the script. Those of a pattern follow one another, with the same instructions.
    pub probes: Vec<Probe>,
    /// The functions.
    pub functions: Vec<Routine>,
    /// Built-in variables that are used.
    pub variables: Vec<Variable>,
    /// Literals.
    pub texts: Vec<Box<[u8]>>,
    /// Formats.
    pub formats: Vec<Format>,
    /// First values of the integer variables.
    pub integers: Vec<u64>,
    /// First values of the integer variables that all vCPUs share.
    pub shared_integers: Vec<u64>,
    /// First values of the string variables.
    pub strings: Vec<Text>,
    /// Aggregates.
    pub aggregates: Vec<Shape>,
    /// Bags.
    pub bags: Vec<Bag>,
    /// What [`Place`]s stand for.
    pub places: Vec<Span>,
    /// The scripts.
    pub sources: Arc<[Source]>,
}

impl Code {
    /// Makes instructions of a program.
    pub fn new(program: Program) -> Self {
        generate::all(program)
    }

    /// Whether it does anything to the guest.
    pub fn has_deeds(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Destructive(..) | Op::Dump))
    }

    /// The distinct points that the script has probes at, in the order of the script.
    pub fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for probe in &self.probes {
            if !points.contains(&probe.point) {
                points.push(probe.point);
            }
        }
        points
    }
}

#[cfg(test)]
mod tests;
