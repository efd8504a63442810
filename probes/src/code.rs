//! Instructions for a small stack machine, generated from a checked [`Program`].
//!
//! The engine runs these instructions and not the trees of the IR, for three reasons: it uses no
//! native stack, whose depth would depend on the script; it counts every step where the step is
//! taken; and a step costs one or two nanoseconds. Integers are on one stack, strings on another. A
//! frame holds the locals of a probe or function, at the bottom of that routine's part of both
//! stacks.

mod arguments;
mod expression;
mod generate;
mod print;
mod statement;

use std::sync::Arc;

use crate::aggregate::Shape;
use crate::destructive::DestructiveAction;
use crate::format::Conversion;
use crate::ir::{Bag, Frame, Operator, Place, Program, Reading, Scan, Space, TaskValue};
use crate::point::Point;
use crate::source::{Source, Span};
use crate::text::Text;
use crate::variable::Variable;

/// One instruction. "Pops" and "pushes" refer to the integer stack unless strings are named. The
/// operand that was pushed last is popped first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Pushes a number.
    Constant(u64),
    /// Pushes an integer variable.
    Get(u32),
    /// Pops into an integer variable.
    Set(u32),
    /// Pushes a variable that all vCPUs share.
    GetShared(u32),
    /// Pops into a variable that all vCPUs share.
    SetShared(u32),
    /// Pops an operand, applies the operator to a shared variable and the operand, and pushes the
    /// variable's new value.
    UpdateShared(u32, Operator),
    /// Pushes a local integer.
    GetLocal(u32),
    /// Pops into a local integer.
    SetLocal(u32),
    /// Pushes the top integer again.
    Duplicate,
    /// Pops an integer and discards it.
    Drop,
    /// Pushes a built-in variable, by its index in [`Code::variables`].
    Builtin(u32),
    /// Pops two integers, pushes the operator's result.
    Binary(Operator),
    /// Pops one integer, pushes the operator's result with this constant as its second operand.
    BinaryConstant(Operator, u32),
    /// Replaces the top integer: 0 by 1, and any other value by 0.
    Not,
    /// Inverts every bit of the top integer.
    Complement,
    /// Continues at this instruction.
    Jump(u32),
    /// Pops, and jumps to this instruction if the value was 0.
    JumpIfZero(u32),
    /// Pops, and jumps to this instruction if the value was not 0.
    JumpUnlessZero(u32),
    /// Calls a function, whose arguments have been pushed.
    Call {
        /// The function's index in [`Code::functions`].
        function: u32,
        /// How many strings were pushed for the arguments. They are dropped when the function
        /// returns.
        temporaries: u32,
    },
    /// Pops the function's value, returns, and pushes the value for the caller.
    ReturnInteger,
    /// The same for a string.
    ReturnString,
    /// Opens a `try`: until [`Op::EndTry`], an error continues at this instruction.
    Try(u32),
    /// Closes the innermost `try`.
    EndTry,
    /// Ends the firing.
    Exit,
    /// Unloads the script.
    Unload,
    /// Ends the firing because the predicate was 0.
    Filtered,
    /// Fails because an assertion does not hold.
    Raise,
    /// Pushes a literal of [`Code::texts`] as a string.
    Text(u32),
    /// Pushes a string variable.
    GetText(u32),
    /// Pushes a local string.
    GetLocalText(u32),
    /// Pushes the string that a parameter refers to.
    GetParameter(u32),
    /// Copies the top string into a string variable.
    SetText(u32),
    /// Copies the top string into a local string.
    SetLocalText(u32),
    /// Copies the top string into the string that a parameter refers to.
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
    /// Pushes the kind of the exit as a string.
    ExitName,
    /// Pushes the name of the last caught error as a string.
    FaultName,
    /// Pushes the description of the last caught error as a string.
    FaultDescription,
    /// Pops two strings, and pushes how the first compares to the second.
    Compare,
    /// Pops an address, and pushes its symbol as a string.
    SymbolName,
    /// Pushes the name of the vCPU's task.
    TaskName,
    /// Pops the arguments of an entry of [`Code::formats`], prints the formatted bytes, and pushes
    /// 1, or 0 if the output is closed.
    Print(u32),
    /// Pops the arguments of an entry of [`Code::formats`], and pushes the formatted string.
    Format(u32),
    /// Pushes the guest's stack as a string.
    GuestStack,
    /// Pops an address, and pushes this number of bytes from there as an integer.
    Load(Space, u8),
    /// Pops the most bytes to read, then an address; pushes the string from there.
    LoadText(Space),
    /// Pushes the time of day in microseconds.
    SystemTime,
    /// Pops a register's number, and pushes the register's value.
    GeneralRegister,
    /// Pops an MSR's number, and pushes the MSR's value.
    ModelRegister,
    /// Pushes a number that belongs to the vCPU's task.
    Task(TaskValue),
    /// Pops the callee if the scan needs one, then an address; pushes what the scan found.
    Scan(Scan),
    /// Pops this number of integers, carries out the action with them, and pushes 1.
    Destructive(DestructiveAction, u8),
    /// Pops a string and dumps the machine to the file of that name; pushes 1, or 0 if the run has
    /// already reached its limit of dumps.
    Dump,
    /// Pops a value and the integer and string keys, and adds the value to an aggregate; pushes 1,
    /// or 0 if the value was dropped.
    Aggregate(u32),
    /// Pops the keys, and pushes a figure of an aggregate.
    AggregateRead(u32, Reading),
    /// Prints an aggregate; pushes 1, or 0 if the output is closed.
    LogAggregate(u32),
    /// Empties an aggregate; pushes 1.
    ClearAggregate(u32),
    /// Pops a value, then a key, and adds the pair to a bag; pushes 1, or 0 if the bag is full.
    BagInsert(u32),
    /// Pops a key, removes the key's oldest value from a bag, and pushes it; 0 if there is none.
    BagRemove(u32),
}

/// A probe's body or a function, as the engine enters it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Routine {
    /// The index of its first instruction.
    pub entry: u32,
    /// How many integers and references the caller has pushed as arguments.
    pub parameters: u32,
    /// Its locals, including the parameters.
    pub frame: Frame,
    /// The most integers that it pushes above its frame.
    pub depth: u32,
    /// The most strings that it pushes above its frame.
    pub text_depth: u32,
}

/// A probe: what runs at one point.
#[derive(Debug)]
pub struct Probe {
    /// The point.
    pub point: Point,
    /// The name of this point: as written in the script, unless that is a pattern.
    pub name: Arc<str>,
    /// The point or the pattern as written in the script.
    pub written: Arc<str>,
    /// The probe's place in the script.
    pub span: Span,
    /// The probe's instructions.
    pub routine: Routine,
}

/// A piece of a printf. The arguments are on the stacks.
#[derive(Debug)]
pub enum FormatPiece {
    /// Bytes as they are.
    Literal(Box<[u8]>),
    /// The next integer.
    Integer(Conversion),
    /// The next string.
    Text(Conversion),
}

/// The format of a printf.
#[derive(Debug, Default)]
pub struct Format {
    /// The pieces, in order.
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
    /// For each instruction, the place in the script to report if it fails.
    pub debug_spans: Vec<Option<Place>>,
    /// In the order of the script. The probes of a pattern follow one another and share their
    /// instructions.
    pub probes: Vec<Probe>,
    /// The script's functions.
    pub functions: Vec<Routine>,
    /// The built-in variables that the script uses.
    pub variables: Vec<Variable>,
    /// The string literals.
    pub texts: Vec<Box<[u8]>>,
    /// The formats of all printfs.
    pub formats: Vec<Format>,
    /// The initial values of the integer variables.
    pub integers: Vec<u64>,
    /// The initial values of the integer variables that all vCPUs share.
    pub shared_integers: Vec<u64>,
    /// The initial values of the string variables.
    pub strings: Vec<Text>,
    /// The shapes of the aggregates.
    pub aggregates: Vec<Shape>,
    /// The script's bags.
    pub bags: Vec<Bag>,
    /// The places in the script to which each [`Place`] refers.
    pub places: Vec<Span>,
    /// The sources of the script.
    pub sources: Arc<[Source]>,
}

impl Code {
    /// Generates the instructions of a program.
    pub fn new(program: Program) -> Self {
        generate::all(program)
    }

    /// Whether the script contains a destructive action.
    pub fn has_destructive_actions(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Destructive(..) | Op::Dump))
    }

    /// The distinct points at which the script has probes, in the order of the script.
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
