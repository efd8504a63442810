//! The IR of a script: a typed tree, which both front ends produce and from which [`crate::code`]
//! generates instructions. It is built once and does not change afterwards.
//!
//! Each front end's checker guarantees the following: types agree, slots exist, and formats match
//! their arguments. The front end also bounds the depth of the tree.

mod expression;
mod print;

use std::sync::Arc;

pub use expression::{
    Argument, Expression, Integer, IntegerTarget, Operator, Piece, Scan, Statement, Str,
    StringTarget, TaskValue,
};

pub(crate) use print::spelled;

pub use crate::aggregate::Reading;
pub use crate::destructive::Space;

use crate::aggregate::Shape;
use crate::point::Found;
use crate::source::{Source, Span};
use crate::text::Text;

/// A checked script.
#[derive(Debug)]
pub struct Program {
    /// In the order of the script.
    pub probes: Vec<Probe>,
    /// The script's own functions.
    pub functions: Vec<Function>,
    /// Initial values of the integer variables. Each vCPU has its own set.
    pub integers: Vec<u64>,
    /// Initial values of the integer variables that all vCPUs share.
    pub shared_integers: Vec<u64>,
    /// Initial values of the string variables. Each vCPU has its own set.
    pub strings: Vec<Text>,
    /// Aggregates, which all vCPUs share.
    pub aggregates: Vec<Shape>,
    /// Bags, which all vCPUs share.
    pub bags: Vec<Bag>,
    /// The places in the script at which a firing can fail.
    pub places: Vec<Span>,
    /// The sources of the script.
    pub sources: Arc<[Source]>,
}

impl Program {
    /// An empty program.
    pub fn new(sources: &Arc<[Source]>) -> Self {
        Self {
            probes: Vec::new(),
            functions: Vec::new(),
            integers: Vec::new(),
            shared_integers: Vec::new(),
            strings: Vec::new(),
            aggregates: Vec::new(),
            bags: Vec::new(),
            places: Vec::new(),
            sources: Arc::clone(sources),
        }
    }
}

/// A probe: what runs at a point, or at each point that a pattern matches.
#[derive(Debug)]
pub struct Probe {
    /// The points.
    pub points: Vec<Found>,
    /// The point or the pattern as written in the script.
    pub written: Arc<str>,
    /// The probe's place in the script.
    pub span: Span,
    /// If this is 0, the body doesn't run and the firing isn't counted.
    pub predicate: Option<Integer>,
    /// The statements that a firing runs.
    pub body: Vec<Statement>,
    /// The locals that the probe needs.
    pub frame: Frame,
}

/// A function of the script. It may call itself; the engine bounds the depth.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The types of the parameters, which are the first locals, in order.
    pub parameters: Vec<Type>,
    /// The statements that a call runs.
    pub body: Vec<Statement>,
    /// The function's value, unless a [`Statement::Return`] came first.
    pub result: Expression,
    /// The locals that the function needs.
    pub frame: Frame,
}

/// The locals of a probe or function. Their initial values are 0 and the empty string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The number of integers. A function's parameters are the first of them; a string parameter is
    /// one of these too, as a reference to the caller's string.
    pub integers: u32,
    /// The number of strings.
    pub strings: u32,
}

/// A bag: integer keys with a value each. The same key may occur more than once.
#[derive(Clone, Debug)]
pub struct Bag {
    /// Its name.
    pub name: String,
    /// How many pairs it holds.
    pub capacity: usize,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A 64-bit unsigned integer.
    Integer,
    /// A string of up to 255 bytes.
    Str,
}

impl Type {
    /// The type as it is printed in the IR.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Str => "string",
        }
    }
}

/// Index of an integer variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerSlot(pub usize);

/// Index of a string variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringSlot(pub usize);

/// Index of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateSlot(pub usize);

/// Index of a bag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BagSlot(pub usize);

/// Index of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionSlot(pub usize);

/// Index into [`Program::places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub usize);
