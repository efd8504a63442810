//! An Emmett script as a tree, before anything is known about names.

use crate::source::{Literal, Span};

/// What stands outside functions and probes.
#[derive(Clone, Debug)]
pub enum Item {
    /// `memmodel guest64;`, `@MEMORY_MODEL = guest64`, `@VMK`.
    Directive(Directive),
    /// `struct t { ... };`, `typedef ... t;`, `enum { ... };` and variables.
    Declaration(Declaration),
    /// A function's body, or its prototype.
    Function(Function),
    /// A probe.
    Probe(Probe),
}

/// A line for the compiler.
#[derive(Clone, Debug)]
pub struct Directive {
    /// `memmodel` or what stands behind the `@`.
    pub name: String,
    /// What it is set to.
    pub value: Option<String>,
    /// Where it is.
    pub span: Span,
}

/// A type and the names that it is for.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// `typedef`: the names are types.
    pub is_typedef: bool,
    /// `const`.
    pub is_constant: bool,
    /// `perthread`, `pervm`, `pervmk` or `perhost`.
    pub storage: Option<(String, Span)>,
    /// The type in front.
    pub base: TypeName,
    /// The names; none for a bare `struct t { ... };`.
    pub names: Vec<Declarator>,
    /// All of it.
    pub span: Span,
}

impl Declaration {
    /// Whether all vCPUs share what it declares.
    pub fn is_shared(&self) -> bool {
        self.storage.as_ref().is_some_and(|(word, _)| matches!(word.as_str(), "pervm" | "perhost"))
    }
}

/// A name with what makes its type more than the type in front.
#[derive(Clone, Debug)]
pub struct Declarator {
    /// The name.
    pub name: String,
    /// Where it is.
    pub span: Span,
    /// Stars.
    pub pointers: u8,
    /// `[2]`, `[]`.
    pub dimensions: Vec<Option<Expression>>,
    /// `= value`.
    pub value: Option<Expression>,
    /// `@0x10`: where it is in its structure.
    pub offset: Option<Expression>,
    /// `: 3`: how many bits it has.
    pub bits: Option<Expression>,
}

/// A type as it is written, without stars and brackets.
#[derive(Clone, Debug)]
pub enum TypeName {
    /// `void`
    Void,
    /// An integer of so many bytes; `None` for `int` and the like, whose size the memory model
    /// decides.
    Integer(IntegerName),
    /// `string`
    Str,
    /// `bag`
    Bag,
    /// `aggr`
    Aggregate,
    /// `struct` or `union`, with its fields if it is defined here.
    Record {
        /// `union`.
        is_union: bool,
        /// The name behind it.
        tag: Option<String>,
        /// What is between the braces.
        fields: Option<Vec<Declaration>>,
        /// Where it is.
        span: Span,
    },
    /// `enum`, with its constants if it is defined here.
    Enumeration(Option<Vec<(String, Span, Option<Expression>)>>),
    /// A name that a `typedef` gave.
    Named(String, Span),
}

/// Integers by name. All of them are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerName {
    /// `char`, `int8`, `uint16` and so on: bytes.
    Sized(u8),
    /// `int`
    Int,
    /// `long`
    Long,
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// What it yields.
    pub result: TypeName,
    /// Its name, and the stars of its result.
    pub name: Declarator,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// `None` for a prototype.
    pub body: Option<Vec<Statement>>,
}

/// A parameter of a function or a probe.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its type.
    pub base: TypeName,
    /// Its name, which a prototype may leave out.
    pub name: Declarator,
}

/// A probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The name of its point.
    pub point: String,
    /// Where that is.
    pub span: Span,
    /// Names for `ARG0` and so on.
    pub parameters: Vec<Parameter>,
    /// `/expression/`
    pub predicate: Option<Expression>,
    /// What it does.
    pub body: Statement,
}

/// Something that is done.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `{ ... }`
    Block(Vec<Statement>),
    /// Variables of the block.
    Declaration(Declaration),
    /// An expression and `;`.
    Expression(Expression),
    /// `if`
    If(Expression, Box<Statement>, Option<Box<Statement>>),
    /// `for`
    For {
        /// Before the first round.
        start: Option<Box<Statement>>,
        /// Before each round.
        condition: Option<Expression>,
        /// After each round.
        step: Option<Expression>,
        /// A round.
        body: Box<Statement>,
    },
    /// `try` and `catch`
    Try(Box<Statement>, Box<Statement>),
    /// `return`
    Return(Option<Expression>, Span),
    /// `break`
    Break(Span),
    /// `continue`
    Continue(Span),
    /// `;`
    Nothing,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expression {
    /// Where it is.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
    /// How deep it is nested; 1 for a number.
    pub height: u16,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A number.
    Number(u64),
    /// A string.
    Text(Literal),
    /// A name.
    Name(String),
    /// `!x`, `~x`, `-x`, `+x`
    Unary(Unary, Box<Expression>),
    /// `*x`
    Load(Box<Expression>),
    /// `&x`
    Address(Box<Expression>),
    /// `x + y`
    Binary(Binary, Box<Expression>, Box<Expression>),
    /// `c ? x : y`
    Conditional(Box<[Expression; 3]>),
    /// `x = y`, `x += y`
    Assign(Option<Binary>, Box<Expression>, Box<Expression>),
    /// `a[k] <- v`
    Insert(Box<Expression>, Box<Expression>),
    /// `x++`, `--x`: by 1 up or down; whether it yields the value after it.
    Bump {
        /// What.
        target: Box<Expression>,
        /// `++`
        up: bool,
        /// In front.
        before: bool,
    },
    /// `a[k, l]`
    Index(Box<Expression>, Vec<Expression>),
    /// `p->f`, `s.f`
    Member {
        /// What has it.
        of: Box<Expression>,
        /// Its name.
        field: String,
        /// `->`
        arrow: bool,
    },
    /// `f(x)`
    Call(String, Span, Vec<Expression>),
    /// `(type)x`
    Cast(Box<Parameter>, Box<Expression>),
    /// `sizeof(type)`
    SizeOfType(Box<Parameter>),
    /// `sizeof x`
    SizeOf(Box<Expression>),
}

/// An operator with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `!`
    Not,
    /// `~`
    Complement,
    /// `-`
    Negate,
    /// `+`
    Plus,
}

impl Unary {
    /// It as it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Not => "!",
            Self::Complement => "~",
            Self::Negate => "-",
            Self::Plus => "+",
        }
    }
}

/// An operator with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `&&`
    And,
    /// `||`
    Or,
    /// Any other.
    Other(crate::ir::Operator),
}

/// All binary operators with how tight they bind; those that bind tighter have larger numbers.
pub const BINARY: &[(&str, Binary, u8)] = {
    use crate::ir::Operator as O;
    &[
        ("||", Binary::Or, 1),
        ("&&", Binary::And, 2),
        ("|", Binary::Other(O::BitOr), 3),
        ("^", Binary::Other(O::Xor), 4),
        ("&", Binary::Other(O::BitAnd), 5),
        ("==", Binary::Other(O::Equal), 6),
        ("!=", Binary::Other(O::NotEqual), 6),
        ("<", Binary::Other(O::Less), 7),
        ("<=", Binary::Other(O::LessOrEqual), 7),
        (">", Binary::Other(O::Greater), 7),
        (">=", Binary::Other(O::GreaterOrEqual), 7),
        ("<<", Binary::Other(O::ShiftLeft), 8),
        (">>", Binary::Other(O::ShiftRight), 8),
        ("+", Binary::Other(O::Add), 9),
        ("-", Binary::Other(O::Subtract), 9),
        ("*", Binary::Other(O::Multiply), 10),
        ("/", Binary::Other(O::Divide), 10),
        ("%", Binary::Other(O::Remainder), 10),
    ]
};

impl Binary {
    /// It as it is written.
    pub fn sign(self) -> &'static str {
        BINARY.iter().find(|(_, binary, _)| *binary == self).map_or("?", |(sign, ..)| sign)
    }
}

impl Expression {
    /// An expression whose height follows from its kind.
    pub fn new(span: Span, kind: Kind) -> Self {
        let height = 1 + match &kind {
            Kind::Number(_) | Kind::Text(_) | Kind::Name(_) | Kind::SizeOfType(_) => 0,
            Kind::Unary(_, a)
            | Kind::Load(a)
            | Kind::Address(a)
            | Kind::Cast(_, a)
            | Kind::SizeOf(a)
            | Kind::Bump { target: a, .. }
            | Kind::Member { of: a, .. } => a.height,
            Kind::Binary(_, a, b) | Kind::Assign(_, a, b) | Kind::Insert(a, b) => {
                a.height.max(b.height)
            }
            Kind::Conditional(all) => all.iter().map(|part| part.height).max().unwrap_or(0),
            Kind::Index(a, keys) => keys.iter().map(|key| key.height).fold(a.height, u16::max),
            Kind::Call(_, _, all) => all.iter().map(|part| part.height).max().unwrap_or(0),
        };
        Self { span, kind, height }
    }
}
