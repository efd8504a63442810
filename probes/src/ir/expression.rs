//! Statements and expressions of both types.

use super::{AggregateSlot, BagSlot, FunctionSlot, IntegerSlot, Place, StringSlot};
use crate::destructive::DestructiveAction;
use crate::format::Conversion;
use crate::variable::Variable;

/// Something that is done.
#[derive(Debug)]
pub enum Statement {
    /// An expression whose value nobody takes.
    Evaluate(Expression),
    /// The first branch if the condition is not 0, else the second.
    If(Integer, Vec<Statement>, Vec<Statement>),
    /// While the condition is not 0: the body, then the step. The engine's budget bounds it.
    Loop {
        /// Looked at before each round.
        condition: Integer,
        /// A round.
        body: Vec<Statement>,
        /// Done after each round, also after a [`Statement::Continue`].
        step: Vec<Statement>,
    },
    /// Leaves the innermost loop.
    Break,
    /// Ends this round of the innermost loop.
    Continue,
    /// Leaves the function with this value; in a probe, ends the firing.
    Return(Option<Expression>),
    /// The first; if something in it goes wrong, the second instead of the rest of it.
    Try(Vec<Statement>, Vec<Statement>),
    /// An assertion has failed: cancels the firing, unless a [`Statement::Try`] catches it.
    Raise(Place),
    /// Ends the firing.
    Exit,
    /// Ends the script in all of the machine: from now on nothing but unload points fires.
    Unload,
}

/// An expression of either type.
#[derive(Debug)]
pub enum Expression {
    /// It has an integer for its value.
    Integer(Integer),
    /// It has a string for its value.
    Str(Str),
}

/// What an integer is assigned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerTarget {
    /// A variable of the script.
    Variable(IntegerSlot),
    /// A variable of the script that all vCPUs share.
    Shared(IntegerSlot),
    /// A local of the probe or function.
    Local(u32),
}

/// What a string is assigned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringTarget {
    /// A variable of the script.
    Variable(StringSlot),
    /// A local of the probe or function.
    Local(u32),
    /// The caller's string that this parameter refers to.
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
    /// Operands folded from the left: `(- a b c)` is `(a - b) - c`. There is at least one.
    Fold(Operator, Vec<Integer>, Place),
    /// 1 if no operand is 0; stops at the first that is.
    And(Vec<Integer>),
    /// 1 if an operand is not 0; stops at the first.
    Or(Vec<Integer>),
    /// 1 if the operand is 0.
    Not(Box<Integer>),
    /// Every bit turned over.
    Complement(Box<Integer>),
    /// Assigns, and yields what was assigned.
    Set(IntegerTarget, Box<Integer>),
    /// Changes a shared variable by an operator and an operand, without another vCPU in between, and
    /// yields its new value.
    Update(IntegerSlot, Operator, Box<Integer>, Place),
    /// The value behind the first condition that is not 0; 0 if there is none.
    Choice(Vec<(Integer, Integer)>),
    /// Does everything in turn and yields the last.
    Sequence(Vec<Statement>, Box<Integer>),
    /// A function of the script.
    Call(FunctionSlot, Vec<Argument>, Place),
    /// Prints. 1, or 0 if the output is gone.
    Print(Vec<Piece>),
    /// Prints into a string. 1.
    Format(StringTarget, Vec<Piece>),
    /// Below, at or above 0, as the first string is below, at or above the second; as 64-bit two's
    /// complement.
    Compare(Box<Str>, Box<Str>),
    /// Puts the guest's stack into a string. 1.
    GuestStack(StringTarget, Place),
    /// Reads 1 to 8 bytes of the guest, little-endian.
    Load {
        /// Whose addresses.
        space: Space,
        /// Where.
        address: Box<Integer>,
        /// Bytes.
        size: u8,
        /// For complaints.
        place: Place,
    },
    /// Reads a string of the guest up to its NUL, of at most so many bytes. 1.
    LoadString {
        /// Where it goes.
        target: StringTarget,
        /// Whose addresses.
        space: Space,
        /// Where it is.
        address: Box<Integer>,
        /// The most bytes.
        limit: Box<Integer>,
        /// For complaints.
        place: Place,
    },
    /// Microseconds of the host's clock.
    SystemTime,
    /// A general register by its number in instructions: RAX, RCX, RDX, RBX, RSP, ...
    GeneralRegister(Box<Integer>, Place),
    /// A model-specific register of the vCPU.
    ModelRegister(Box<Integer>, Place),
    /// What the guest's code at an address says, without running it.
    Scan {
        /// What is looked for.
        scan: Scan,
        /// Where the code begins.
        address: Box<Integer>,
        /// The function whose call ends the search.
        callee: Option<Box<Integer>>,
        /// For complaints.
        place: Place,
    },
    /// Does something to the guest. 1.
    Destructive(DestructiveAction, Vec<Integer>, Place),
    /// Writes the machine to the file of this name. 1, or 0 if that is one too many.
    Dump(Box<Str>, Place),
    /// Adds a value to an aggregate. 1, or 0 if there is no room for its key.
    Aggregate {
        /// The aggregate.
        aggregate: AggregateSlot,
        /// As many as its shape says.
        integers: Vec<Integer>,
        /// As many as its shape says.
        strings: Vec<Str>,
        /// The value.
        value: Box<Integer>,
        /// For complaints: a key may be the guest's stack, which can't always be had.
        place: Place,
    },
    /// What an aggregate has under a key; 0 if nothing.
    AggregateRead {
        /// The aggregate.
        aggregate: AggregateSlot,
        /// As many as its shape says.
        integers: Vec<Integer>,
        /// As many as its shape says.
        strings: Vec<Str>,
        /// Which of its figures.
        reading: Reading,
        /// For complaints.
        place: Place,
    },
    /// Prints an aggregate. 1, or 0 if the output is gone.
    LogAggregate(AggregateSlot),
    /// Empties an aggregate. 1.
    ClearAggregate(AggregateSlot),
    /// Puts key and value into a bag. 1, or 0 if it is full.
    BagInsert(BagSlot, Box<Integer>, Box<Integer>),
    /// Takes the oldest value with this key out of a bag; 0 if there is none.
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
    /// The kind of exit that the vCPU is at; empty at points that are no exits.
    ExitName,
    /// The name of what went wrong last: in a `catch`, of what led there.
    FaultName,
    /// The same in a sentence.
    FaultDescription,
    /// Assigns, and yields what was assigned.
    Set(StringTarget, Box<Str>),
    /// The value behind the first condition that is not 0; empty if there is none.
    Choice(Vec<(Integer, Str)>),
    /// Does everything in turn and yields the last.
    Sequence(Vec<Statement>, Box<Str>),
    /// A function of the script.
    Call(FunctionSlot, Vec<Argument>, Place),
    /// One after the other, as far as they fit.
    Concatenate(Vec<Str>),
    /// The guest's string at an address.
    Load(Space, Box<Integer>, Place),
    /// The function or variable at an address as `name+0x12`; the bare address if nobody knows it.
    SymbolName(Box<Integer>),
}

/// What a function of the script is given.
#[derive(Debug)]
pub enum Argument {
    /// An integer.
    Integer(Integer),
    /// A string that the function may assign to.
    Reference(StringTarget),
    /// A string that has no name.
    Value(Str),
}

/// Whose addresses they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The guest's linear addresses, through its page tables.
    Linear,
    /// Guest-physical ones.
    Physical,
}

/// What a scan of the guest's code looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// What the first `ret` returns.
    Return,
    /// The displacement of the first operand with an FS or GS prefix.
    Segment,
    /// What is in RSI at the first call of a function.
    Source,
}

/// A figure of an aggregate's cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// How many values.
    Count,
    /// Their sum.
    Sum,
    /// Their average, rounded down.
    Average,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
    /// The last.
    Latest,
}

/// A binary operator on 64-bit unsigned integers. Arithmetic wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; by zero, it cancels the firing.
    Divide,
    /// `%`; by zero, it cancels the firing.
    Remainder,
    /// `<<`; by 64 and more it yields 0.
    ShiftLeft,
    /// `>>`; by 64 and more it yields 0.
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
    /// It as it is written.
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

    /// The operator on two integers; `None` for a division by zero.
    pub fn apply(self, a: u64, b: u64) -> Option<u64> {
        let shift = |shifted: Option<u64>| shifted.unwrap_or_default();
        // A distance beyond 32 bits is beyond 64 too.
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
