//! The names of VP: what this version runs, and what it knows but doesn't run yet.

use crate::ir::Operator;

/// What stands first in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A form that stands outside probes.
    Top(Top),
    /// A form or function that has a value.
    Value(Value),
    /// VP has it; this version doesn't run it yet. The text says what it is.
    NotYet(&'static str),
}

/// Forms outside probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the form of that name
pub enum Top {
    Version,
    DefInteger,
    DefString,
    Vprobe,
}

/// Forms, functions and operators inside probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the form of that name
pub enum Value {
    SetInt,
    SetStr,
    Cond,
    Do,
    Printf,
    GuestStack,
    And,
    Or,
    Not,
    Complement,
    Fold(Operator),
}

/// What `name` means at the head of a list.
pub fn head(name: &str) -> Option<Head> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, head)| *head)
}

/// The names that can stand first in a list inside a probe and run, for suggestions.
pub fn values() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|(_, head)| matches!(head, Head::Value(_))).map(|(name, _)| *name)
}

/// The names of the forms outside probes that run, for suggestions.
pub fn tops() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|(_, head)| matches!(head, Head::Top(_))).map(|(name, _)| *name)
}

const FORM: Head = Head::NotYet("form");
const FUNCTION: Head = Head::NotYet("function");

const fn fold(operator: Operator) -> Head {
    Head::Value(Value::Fold(operator))
}

const TABLE: &[(&str, Head)] = &[
    ("version", Head::Top(Top::Version)),
    ("definteger", Head::Top(Top::DefInteger)),
    ("defstring", Head::Top(Top::DefString)),
    ("vprobe", Head::Top(Top::Vprobe)),
    ("setint", Head::Value(Value::SetInt)),
    ("setstr", Head::Value(Value::SetStr)),
    ("cond", Head::Value(Value::Cond)),
    ("do", Head::Value(Value::Do)),
    ("printf", Head::Value(Value::Printf)),
    ("gueststack", Head::Value(Value::GuestStack)),
    ("&&", Head::Value(Value::And)),
    ("and", Head::Value(Value::And)),
    ("||", Head::Value(Value::Or)),
    ("or", Head::Value(Value::Or)),
    ("!", Head::Value(Value::Not)),
    ("not", Head::Value(Value::Not)),
    ("~", Head::Value(Value::Complement)),
    ("+", fold(Operator::Add)),
    ("add", fold(Operator::Add)),
    ("-", fold(Operator::Subtract)),
    ("sub", fold(Operator::Subtract)),
    ("*", fold(Operator::Multiply)),
    ("mul", fold(Operator::Multiply)),
    ("/", fold(Operator::Divide)),
    ("div", fold(Operator::Divide)),
    ("%", fold(Operator::Remainder)),
    ("mod", fold(Operator::Remainder)),
    ("<<", fold(Operator::ShiftLeft)),
    ("lshift", fold(Operator::ShiftLeft)),
    (">>", fold(Operator::ShiftRight)),
    ("rshift", fold(Operator::ShiftRight)),
    ("^", fold(Operator::Xor)),
    ("xor", fold(Operator::Xor)),
    ("|", fold(Operator::BitOr)),
    ("&", fold(Operator::BitAnd)),
    ("<", fold(Operator::Less)),
    ("<=", fold(Operator::LessOrEqual)),
    (">", fold(Operator::Greater)),
    (">=", fold(Operator::GreaterOrEqual)),
    ("==", fold(Operator::Equal)),
    ("!=", fold(Operator::NotEqual)),
    ("defaggr", FORM),
    ("defbag", FORM),
    ("defun", FORM),
    ("aggr", FORM),
    ("logaggr", FORM),
    ("clearaggr", FORM),
    ("baginsert", FORM),
    ("bagremove", FORM),
    ("sprintf", FUNCTION),
    ("logstr", FUNCTION),
    ("logint", FUNCTION),
    ("strcmp", FUNCTION),
    ("getguest", FUNCTION),
    ("getgueststr", FUNCTION),
    ("getguestphys", FUNCTION),
    ("getguestphysstr", FUNCTION),
    ("getsystemtime", FUNCTION),
    ("exit", FUNCTION),
    ("offatret", FUNCTION),
    ("offatseg", FUNCTION),
    ("offatstrcpy", FUNCTION),
    ("curpid", FUNCTION),
    ("curprocname", FUNCTION),
    ("syscname", FUNCTION),
    ("getvmcs", FUNCTION),
    ("getgpr", FUNCTION),
    ("assert", FUNCTION),
    ("worldtovmid", FUNCTION),
    ("schedtrace", FUNCTION),
    ("vmwstack", FUNCTION),
    ("getvmw", FUNCTION),
    ("getvmwstr", FUNCTION),
    ("readpmc", FUNCTION),
    ("readmsr", FUNCTION),
    ("getmeminfo", FUNCTION),
    ("suspendvm", FUNCTION),
    ("delayus", FUNCTION),
    ("livecore", FUNCTION),
    ("fatalPSOD", FUNCTION),
];
