//! Statements, and expressions of both types.

use super::{AggregateSlot, BagSlot, FunctionSlot, IntegerSlot, Place, StringSlot};
use crate::aggregate::Reading;
use crate::destructive::{DestructiveAction, Space};
use crate::format::Conversion;
use crate::variable::Variable;

/// A statement.
#[derive(Debug)]
pub enum Statement {
    /// An expression whose value is not used.
    Evaluate(Expression),
    /// Runs the first branch if the condition is not 0, else the second.
    If(Integer, Vec<Statement>, Vec<Statement>),
    /// While the condition is not 0: runs the body, then the step. The engine's budget bounds the
    /// loop.
    Loop {
        /// Evaluated before each iteration.
        condition: Integer,
        /// The body of an iteration.
        body: Vec<Statement>,
        /// Runs after each iteration, also after a [`Statement::Continue`].
        step: Vec<Statement>,
    },
    /// Leaves the innermost loop.
    Break,
    /// Ends this iteration of the innermost loop.
    Continue,
    /// Leaves the function with this value; in a probe, ends the firing.
    Return(Option<Expression>),
    /// Runs the first block. If an error occurs in it, runs the second block and skips the rest of
    /// the first.
    Try(Vec<Statement>, Vec<Statement>),
    /// An assertion has failed: cancels the firing, unless a [`Statement::Try`] catches it.
    Raise(Place),
    /// Ends the firing.
    Exit,
    /// Unloads the script in the whole machine. From then on, only unload points fire.
    Unload,
}

/// An expression of either type.
#[derive(Debug)]
pub enum Expression {
    /// An expression with an integer value.
    Integer(Integer),
    /// An expression with a string value.
    Str(Str),
}

/// What an integer is assigned to, or read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerTarget {
    /// A variable of the script.
    Variable(IntegerSlot),
    /// A variable of the script that all vCPUs share.
    Shared(IntegerSlot),
    /// A local of the probe or function.
    Local(u32),
}

/// What a string is assigned to, or read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringTarget {
    /// A variable of the script.
    Variable(StringSlot),
    /// A local of the probe or function.
    Local(u32),
    /// The caller's string to which this parameter refers.
    Parameter(u32),
}

/// An expression that yields an integer.
#[derive(Debug)]
pub enum Integer {
    /// A number.
    Constant(u64),
    /// A variable or local.
    Get(IntegerTarget),
    /// A built-in variable.
    Builtin(Variable, Place),
    /// Combines its operands from the left: `(- a b c)` is `(a - b) - c`. There is at least one
    /// operand.
    Fold(Operator, Vec<Integer>, Place),
    /// 1 if no operand is 0, else 0. Stops at the first operand that is 0.
    And(Vec<Integer>),
    /// 1 if an operand is not 0, else 0. Stops at the first operand that is not 0.
    Or(Vec<Integer>),
    /// 1 if the operand is 0, else 0.
    Not(Box<Integer>),
    /// Inverts every bit.
    Complement(Box<Integer>),
    /// Assigns a value, which is also the result.
    Set(IntegerTarget, Box<Integer>),
    /// Applies an operator and an operand to a shared variable atomically. The result is the
    /// variable's new value.
    Update(IntegerSlot, Operator, Box<Integer>, Place),
    /// The value that belongs to the first condition that is not 0; 0 if all conditions are 0.
    Choice(Vec<(Integer, Integer)>),
    /// Runs the statements in order; the result is the last expression.
    Sequence(Vec<Statement>, Box<Integer>),
    /// A call of a function of the script.
    Call(FunctionSlot, Vec<Argument>, Place),
    /// Prints. The result is 1, or 0 if the output is closed.
    Print(Vec<Piece>),
    /// Formats into a string. The result is 1.
    Format(StringTarget, Vec<Piece>),
    /// Compares two strings. The result is -1, 0 or 1 in 64-bit two's complement, if the first
    /// string is below, equal to or above the second.
    Compare(Box<Str>, Box<Str>),
    /// Writes the guest's stack into a string. The result is 1.
    GuestStack(StringTarget, Place),
    /// Loads 1 to 8 bytes of guest memory, little-endian.
    Load {
        /// The address space.
        space: Space,
        /// The address.
        address: Box<Integer>,
        /// The number of bytes.
        size: u8,
        /// The place to report on failure.
        place: Place,
    },
    /// Loads a string from guest memory, up to its NUL or the limit. The result is 1.
    LoadString {
        /// Where the string is stored.
        target: StringTarget,
        /// The address space.
        space: Space,
        /// The string's address.
        address: Box<Integer>,
        /// The most bytes to read.
        limit: Box<Integer>,
        /// The place to report on failure.
        place: Place,
    },
    /// The time of day in microseconds since 1970, from the engine's clock.
    SystemTime,
    /// A general register by its number in the instruction encoding: RAX, RCX, RDX, RBX, RSP, ...
    GeneralRegister(Box<Integer>, Place),
    /// A model-specific register of the vCPU.
    ModelRegister(Box<Integer>, Place),
    /// What a Linux guest's own data says of the task that the vCPU runs.
    Task(TaskValue, Place),
    /// What a scan of the guest's code at an address finds, without running the code.
    Scan {
        /// What the scan looks for.
        scan: Scan,
        /// The address at which the scan begins.
        address: Box<Integer>,
        /// The function at whose call the scan ends.
        callee: Option<Box<Integer>>,
        /// The place to report on failure.
        place: Place,
    },
    /// Carries out a destructive action. The result is 1.
    Destructive(DestructiveAction, Vec<Integer>, Place),
    /// Dumps the machine to the file of this name. The result is 1, or 0 if the run has already
    /// reached its limit of dumps.
    Dump(Box<Str>, Place),
    /// Adds a value to an aggregate. The result is 1, or 0 if the value was dropped because the
    /// aggregate is full.
    Aggregate {
        /// The aggregate.
        aggregate: AggregateSlot,
        /// The integer keys, as many as the aggregate's shape has.
        integers: Vec<Integer>,
        /// The string keys, as many as the aggregate's shape has.
        strings: Vec<Str>,
        /// The value.
        value: Box<Integer>,
        /// The place to report on failure: a key may be the guest's stack, which can't always be
        /// read.
        place: Place,
    },
    /// A figure of an aggregate under a key; 0 if the aggregate has no values under that key.
    AggregateRead {
        /// The aggregate.
        aggregate: AggregateSlot,
        /// The integer keys, as many as the aggregate's shape has.
        integers: Vec<Integer>,
        /// The string keys, as many as the aggregate's shape has.
        strings: Vec<Str>,
        /// The figure to read.
        reading: Reading,
        /// The place to report on failure.
        place: Place,
    },
    /// Prints an aggregate. The result is 1, or 0 if the output is closed.
    LogAggregate(AggregateSlot),
    /// Empties an aggregate. The result is 1.
    ClearAggregate(AggregateSlot),
    /// Adds a key and a value to a bag. The result is 1, or 0 if the bag is full.
    BagInsert(BagSlot, Box<Integer>, Box<Integer>),
    /// Removes the oldest value with this key from a bag. The result is that value, or 0 if there
    /// is none.
    BagRemove(BagSlot, Box<Integer>),
}

/// An expression that yields a string.
#[derive(Debug)]
pub enum Str {
    /// A literal.
    Constant(Box<[u8]>),
    /// A variable, local or parameter.
    Get(StringTarget),
    /// The name of the probe that runs.
    ProbeName,
    /// The kind of exit that the vCPU is at; empty at points that aren't exits.
    ExitName,
    /// The name of the last error that a `try` caught.
    FaultName,
    /// The description of the last error that a `try` caught.
    FaultDescription,
    /// Assigns a value, which is also the result.
    Set(StringTarget, Box<Str>),
    /// The value that belongs to the first condition that is not 0; empty if all conditions are 0.
    Choice(Vec<(Integer, Str)>),
    /// Runs the statements in order; the result is the last expression.
    Sequence(Vec<Statement>, Box<Str>),
    /// A call of a function of the script.
    Call(FunctionSlot, Vec<Argument>, Place),
    /// The strings one after the other, cut off at the limit.
    Concatenate(Vec<Str>),
    /// The string at an address of the guest.
    Load(Space, Box<Integer>, Place),
    /// The function or variable at an address as `name+0x12`; the bare address if no symbol covers
    /// it.
    SymbolName(Box<Integer>),
    /// The name of the task that the vCPU runs.
    TaskName(Place),
}

/// An argument of a call of the script's own functions.
#[derive(Debug)]
pub enum Argument {
    /// An integer.
    Integer(Integer),
    /// A string that the function may assign to.
    Reference(StringTarget),
    /// The value of a string expression.
    Value(Str),
}

/// A number that belongs to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskValue {
    /// The address of its `task_struct`.
    Address,
    /// The number of its process.
    Process,
}

impl TaskValue {
    /// The function that yields it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "curtask",
            Self::Process => "curpid",
        }
    }
}

/// What a scan of the guest's code looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The value that the first `ret` returns.
    Return,
    /// The displacement of the first operand with an FS or GS prefix.
    Segment,
    /// The value of RSI at the first call of a function.
    Source,
}

/// A binary operator on 64-bit unsigned integers. Arithmetic wraps around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; division by zero cancels the firing.
    Divide,
    /// `%`; division by zero cancels the firing.
    Remainder,
    /// `<<`; yields 0 for distances of 64 and more.
    ShiftLeft,
    /// `>>`; yields 0 for distances of 64 and more.
    ShiftRight,
    /// `^`
    Xor,
    /// `|`
    BitOr,
    /// `&`
    BitAnd,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Operator {
    /// The operator as it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
            Self::Xor => "^",
            Self::BitOr => "|",
            Self::BitAnd => "&",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    /// Applies the operator to two integers; `None` for a division by zero.
    pub fn apply(self, a: u64, b: u64) -> Option<u64> {
        let shift = |shifted: Option<u64>| shifted.unwrap_or_default();
        // A distance that doesn't fit in 32 bits yields 0 in any case.
        let distance = u32::try_from(b).unwrap_or(u32::MAX);
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
            Self::Multiply => a.wrapping_mul(b),
            Self::Divide => a.checked_div(b)?,
            Self::Remainder => a.checked_rem(b)?,
            Self::ShiftLeft => shift(a.checked_shl(distance)),
            Self::ShiftRight => shift(a.checked_shr(distance)),
            Self::Xor => a ^ b,
            Self::BitOr => a | b,
            Self::BitAnd => a & b,
            Self::Less => u64::from(a < b),
            Self::LessOrEqual => u64::from(a <= b),
            Self::Greater => u64::from(a > b),
            Self::GreaterOrEqual => u64::from(a >= b),
            Self::Equal => u64::from(a == b),
            Self::NotEqual => u64::from(a != b),
        })
    }
}

/// A piece of a printf.
#[derive(Debug)]
pub enum Piece {
    /// Bytes as they are.
    Literal(Vec<u8>),
    /// An integer.
    Integer(Conversion, Integer),
    /// A string.
    Str(Conversion, Str),
}
