//! The typed form of a script: what both front ends make, and what [`crate::code`] turns into
//! instructions. It is made once and never changes.
//!
//! A front end makes it by the checker that knows its language; what is here is checked already:
//! types agree, slots exist, formats match their arguments. Depth is bounded by the front end.

mod expression;

use std::sync::Arc;

pub use expression::{
    Argument, Expression, Integer, IntegerTarget, Operator, Piece, Reading, Scan, Space, Statement,
    Str, StringTarget,
};

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
    /// First values of the integer variables. Each vCPU has its own set.
    pub integers: Vec<u64>,
    /// First values of the integer variables that all vCPUs share.
    pub shared_integers: Vec<u64>,
    /// First values of the string variables. Each vCPU has its own set.
    pub strings: Vec<Text>,
    /// Aggregates, which all vCPUs share.
    pub aggregates: Vec<Shape>,
    /// Bags, which all vCPUs share.
    pub bags: Vec<Bag>,
    /// Where in the script a firing can fail.
    pub places: Vec<Span>,
    /// The scripts that it was made of.
    pub sources: Arc<[Source]>,
}

impl Program {
    /// Nothing yet.
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

/// What runs at a point, or at each of those that a pattern stands for.
#[derive(Debug)]
pub struct Probe {
    /// The points.
    pub points: Vec<Found>,
    /// The point or the pattern as the script calls it.
    pub written: Arc<str>,
    /// Where it is in the script.
    pub span: Span,
    /// The firing does nothing, and doesn't count, where this is 0.
    pub predicate: Option<Integer>,
    /// What it does.
    pub body: Vec<Statement>,
    /// What it needs beside the variables.
    pub frame: Frame,
}

/// A function of the script. It may call itself; the engine bounds how deep.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it takes. Parameters are the first locals, in order.
    pub parameters: Vec<Type>,
    /// What it does.
    pub body: Vec<Statement>,
    /// What it yields, unless a [`Statement::Return`] came first.
    pub result: Expression,
    /// What it needs beside the variables.
    pub frame: Frame,
}

/// The locals of a probe or function. They begin as 0 and as empty strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Integers; a function's parameters are the first. A string parameter is one of these too: it
    /// refers to the caller's string.
    pub integers: u32,
    /// Strings.
    pub strings: u32,
}

/// A bag: integer keys with a value each, of which a key may be there more than once.
#[derive(Clone, Debug)]
pub struct Bag {
    /// Its name.
    pub name: String,
    /// How many pairs it holds.
    pub capacity: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 64 bits.
    Integer,
    /// Up to 255 bytes.
    Str,
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
