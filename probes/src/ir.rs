//! The typed form of a script, which the engine runs. It is made once and never changes.
//!
//! A front end makes it by the checker that knows its language; what is here is checked already:
//! types agree, slots exist, formats match their arguments. Depth is bounded by the front end.

use std::sync::Arc;

use crate::format::Conversion;
use crate::point::Point;
use crate::source::{Source, Span};
use crate::text::Text;
use crate::variable::Variable;

/// A checked script.
#[derive(Debug)]
pub struct Program {
    /// In the order of the script.
    pub probes: Vec<Probe>,
    /// First values of the integer variables. Each vCPU has its own set.
    pub integers: Vec<u64>,
    /// First values of the string variables. Each vCPU has its own set.
    pub strings: Vec<Text>,
    /// Where in the script a firing can fail.
    pub places: Vec<Span>,
    /// The scripts that it was made of.
    pub sources: Arc<[Source]>,
}

/// What runs at a point.
#[derive(Debug)]
pub struct Probe {
    /// The point.
    pub point: Point,
    /// Where it is in the script.
    pub span: Span,
    /// What it does.
    pub body: Vec<Expression>,
}

/// Index of an integer variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerSlot(pub usize);

/// Index of a string variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringSlot(pub usize);

/// Index into [`Program::places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub usize);

/// An expression of either type.
#[derive(Debug)]
pub enum Expression {
    /// It has an integer for its value.
    Integer(Integer),
    /// It has a string for its value.
    Str(Str),
}

/// An expression that yields an integer.
#[derive(Debug)]
pub enum Integer {
    /// A number.
    Constant(u64),
    /// A variable of the script.
    Variable(IntegerSlot),
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
    Set(IntegerSlot, Box<Integer>),
    /// The value behind the first condition that is not 0; 0 if there is none.
    Choice(Vec<(Integer, Integer)>),
    /// Does everything in turn and yields the last.
    Sequence(Vec<Expression>, Box<Integer>),
    /// Prints. 1, or 0 if the output is gone.
    Print(Vec<Piece>),
    /// Puts the guest's stack into a string. 1.
    GuestStack(StringSlot, Place),
}

/// An expression that yields a string.
#[derive(Debug)]
pub enum Str {
    /// A literal.
    Constant(Text),
    /// A variable of the script.
    Variable(StringSlot),
    /// The name of the probe that runs.
    ProbeName,
    /// Assigns, and yields what was assigned.
    Set(StringSlot, Box<Str>),
    /// The value behind the first condition that is not 0; empty if there is none.
    Choice(Vec<(Integer, Str)>),
    /// Does everything in turn and yields the last.
    Sequence(Vec<Expression>, Box<Str>),
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
