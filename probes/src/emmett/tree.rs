//! An Emmett script as a tree, before names are resolved.

use crate::source::{Literal, Span};

/// An item outside functions and probes.
#[derive(Clone, Debug)]
pub enum Item {
    /// `memmodel guest64;`, `@MEMORY_MODEL = guest64`, `@VMK`.
    Directive(Directive),
    /// `struct t { ... };`, `typedef ... t;`, `enum { ... };` and variables.
    Declaration(Declaration),
    /// A function with its body, or a prototype.
    Function(Function),
    /// A probe.
    Probe(Probe),
}

/// A directive to the compiler.
#[derive(Clone, Debug)]
pub struct Directive {
    /// `memmodel`, or the name after the `@`.
    pub name: String,
    /// The value that the directive sets.
    pub value: Option<String>,
    /// The directive's place in the script.
    pub span: Span,
}

/// A type and the names that are declared with it.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// `typedef`: the names become types.
    pub is_typedef: bool,
    /// `const`.
    pub is_constant: bool,
    /// `perthread`, `pervm`, `pervmk` or `perhost`.
    pub storage: Option<(String, Span)>,
    /// The type before the names.
    pub base: TypeName,
    /// The names; empty for a bare `struct t { ... };`.
    pub names: Vec<Declarator>,
    /// The place of the whole declaration.
    pub span: Span,
}

impl Declaration {
    /// Whether all vCPUs share the declared names.
    pub fn is_shared(&self) -> bool {
        self.storage.as_ref().is_some_and(|(word, _)| matches!(word.as_str(), "pervm" | "perhost"))
    }
}

/// A name, with the stars, brackets and values that belong to it alone.
#[derive(Clone, Debug)]
pub struct Declarator {
    /// The name.
    pub name: String,
    /// The name's place in the script.
    pub span: Span,
    /// The number of stars.
    pub pointers: u8,
    /// The array dimensions: `[2]`, `[]`.
    pub dimensions: Vec<Option<Expression>>,
    /// `= value`.
    pub value: Option<Expression>,
    /// `@0x10`: the field's offset in its structure.
    pub offset: Option<Expression>,
    /// `: 3`: the number of bits of a bit-field.
    pub bits: Option<Expression>,
}

/// A type as it is written, without stars and brackets.
#[derive(Clone, Debug)]
pub enum TypeName {
    /// `void`
    Void,
    /// An integer type.
    Integer(IntegerName),
    /// `string`
    Str,
    /// `bag`
    Bag,
    /// `aggr`
    Aggregate,
    /// `struct` or `union`, with its fields if they are defined here.
    Record {
        /// Whether it is a `union`.
        is_union: bool,
        /// The name after `struct` or `union`.
        tag: Option<String>,
        /// The fields between the braces.
        fields: Option<Vec<Declaration>>,
        /// The type's place in the script.
        span: Span,
    },
    /// `enum`, with its constants if they are defined here.
    Enumeration(Option<Vec<(String, Span, Option<Expression>)>>),
    /// A name that a `typedef` declares.
    Named(String, Span),
}

/// An integer type by its name. All integers are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerName {
    /// `char`, `int8`, `uint16` and so on, by the number of bytes.
    Sized(u8),
    /// `int`, whose size depends on the memory model.
    Int,
    /// `long`, whose size depends on the memory model.
    Long,
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// The type of its result, without stars.
    pub result: TypeName,
    /// Its name, and the stars of its result.
    pub name: Declarator,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Its body; `None` for a prototype.
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
    /// The place of that name in the script.
    pub span: Span,
    /// Names for `ARG0` and the following arguments.
    pub parameters: Vec<Parameter>,
    /// `/expression/`
    pub predicate: Option<Expression>,
    /// The statement that a firing runs.
    pub body: Statement,
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `{ ... }`
    Block(Vec<Statement>),
    /// Variables that belong to the block.
    Declaration(Declaration),
    /// An expression followed by `;`.
    Expression(Expression),
    /// `if`
    If(Expression, Box<Statement>, Option<Box<Statement>>),
    /// `for`
    For {
        /// Runs before the first iteration.
        start: Option<Box<Statement>>,
        /// Evaluated before each iteration.
        condition: Option<Expression>,
        /// Evaluated after each iteration.
        step: Option<Expression>,
        /// The body of an iteration.
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
    /// The expression's place in the script.
    pub span: Span,
    /// The expression's kind and operands.
    pub kind: Kind,
    /// The depth of its nesting; 1 for a number.
    pub height: u16,
}

/// The kind and operands of an expression.
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
    /// `x++`, `--x` and similar.
    Bump {
        /// The variable or aggregate that changes.
        target: Box<Expression>,
        /// Whether the operator is `++`; `--` otherwise.
        up: bool,
        /// Whether the operator comes first, so that the value is the new one.
        before: bool,
    },
    /// `a[k, l]`
    Index(Box<Expression>, Vec<Expression>),
    /// `p->f`, `s.f`
    Member {
        /// The structure, or a pointer to it.
        of: Box<Expression>,
        /// The name of the field.
        field: String,
        /// Whether the operator is `->`; `.` otherwise.
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
    /// The operator as it is written.
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
    /// Any other operator.
    Other(crate::ir::Operator),
}

/// All binary operators with their precedence. Operators with larger numbers bind tighter.
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
    /// The operator as it is written.
    pub fn sign(self) -> &'static str {
        BINARY.iter().find(|(_, binary, _)| *binary == self).map_or("?", |(sign, ..)| sign)
    }
}

impl Expression {
    /// Makes an expression, and calculates its height.
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
