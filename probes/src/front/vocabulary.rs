//! The names of VP: those that are supported, and those that are refused, with the reason.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::destructive::DestructiveAction;
use crate::ir::{Operator, Space};

/// The meaning of the first name in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// A form that is used outside probes.
    Top(Top),
    /// A form or function that has a value.
    Value(Value),
    /// A name of VP that is not available here; the text says why.
    Never(&'static str),
}

/// Forms that are used outside probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the form of that name
pub(crate) enum Top {
    Version,
    DefInteger,
    DefString,
    DefAggr,
    DefBag,
    Defun,
    Vprobe,
}

/// Forms, functions and operators inside probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the form of that name
pub(crate) enum Value {
    SetInt,
    SetStr,
    Cond,
    Do,
    Printf,
    GuestStack,
    Aggr,
    LogAggr,
    ClearAggr,
    BagInsert,
    BagRemove,
    Sprintf,
    LogStr,
    LogInt,
    Strcmp,
    GetGuest,
    GetGuestStr,
    GetGuestPhys,
    GetGuestPhysStr,
    GetSystemTime,
    Exit,
    Unload,
    OffAtRet,
    OffAtSeg,
    OffAtStrcpy,
    GetGpr,
    ReadMsr,
    SymName,
    CurTask,
    CurPid,
    CurProcName,
    Assert,
    Destructive(DestructiveAction),
    And,
    Or,
    Not,
    Complement,
    Fold(Operator),
}

/// The meaning of `name` at the head of a list.
pub(crate) fn head(name: &str) -> Option<Head> {
    static HEADS: LazyLock<HashMap<&str, Head>> = LazyLock::new(|| TABLE.iter().copied().collect());
    HEADS.get(name).copied()
}

/// The supported names that can begin a list inside a probe, for suggestions.
pub(crate) fn values() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|(_, head)| matches!(head, Head::Value(_))).map(|(name, _)| *name)
}

/// The supported names of forms outside probes, for suggestions.
pub(crate) fn tops() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|(_, head)| matches!(head, Head::Top(_))).map(|(name, _)| *name)
}

const fn fold(operator: Operator) -> Head {
    Head::Value(Value::Fold(operator))
}

const fn action(action: DestructiveAction) -> (&'static str, Head) {
    (action.name(), Head::Value(Value::Destructive(action)))
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
    ("defaggr", Head::Top(Top::DefAggr)),
    ("defbag", Head::Top(Top::DefBag)),
    ("defun", Head::Top(Top::Defun)),
    ("aggr", Head::Value(Value::Aggr)),
    ("logaggr", Head::Value(Value::LogAggr)),
    ("clearaggr", Head::Value(Value::ClearAggr)),
    ("baginsert", Head::Value(Value::BagInsert)),
    ("bagremove", Head::Value(Value::BagRemove)),
    ("sprintf", Head::Value(Value::Sprintf)),
    ("logstr", Head::Value(Value::LogStr)),
    ("logint", Head::Value(Value::LogInt)),
    ("strcmp", Head::Value(Value::Strcmp)),
    ("getguest", Head::Value(Value::GetGuest)),
    ("getgueststr", Head::Value(Value::GetGuestStr)),
    ("getguestphys", Head::Value(Value::GetGuestPhys)),
    ("getguestphysstr", Head::Value(Value::GetGuestPhysStr)),
    ("getsystemtime", Head::Value(Value::GetSystemTime)),
    ("exit", Head::Value(Value::Exit)),
    ("offatret", Head::Value(Value::OffAtRet)),
    ("offatseg", Head::Value(Value::OffAtSeg)),
    ("offatstrcpy", Head::Value(Value::OffAtStrcpy)),
    ("getgpr", Head::Value(Value::GetGpr)),
    ("readmsr", Head::Value(Value::ReadMsr)),
    ("assert", Head::Value(Value::Assert)),
    ("unload", Head::Value(Value::Unload)),
    ("symname", Head::Value(Value::SymName)),
    action(DestructiveAction::Delay),
    action(DestructiveAction::Nmi),
    action(DestructiveAction::SetRegister),
    action(DestructiveAction::Poke(Space::Linear)),
    action(DestructiveAction::Poke(Space::Physical)),
    action(DestructiveAction::Stop),
    action(DestructiveAction::Suspend),
    action(DestructiveAction::Dump),
    ("curtask", Head::Value(Value::CurTask)),
    ("curpid", Head::Value(Value::CurPid)),
    ("curprocname", Head::Value(Value::CurProcName)),
    ("syscname", Head::Never("it needs VMware's table of a guest's system calls")),
    ("getvmcs", Head::Never("KVM doesn't show the VMCS to user space")),
    ("worldtovmid", Head::Never(VMKERNEL)),
    ("schedtrace", Head::Never(VMKERNEL)),
    ("vmwstack", Head::Never(MONITOR)),
    ("getvmw", Head::Never(MONITOR)),
    ("getvmwstr", Head::Never(MONITOR)),
    ("readpmc", Head::Never("KVM doesn't show the guest's performance counters to user space")),
    ("getmeminfo", Head::Never(VMKERNEL)),
    ("livecore", Head::Never("dump writes the whole machine to a file")),
    ("fatalPSOD", Head::Never(VMKERNEL)),
];

const VMKERNEL: &str = "there is no vmkernel below this machine";
const MONITOR: &str = "it looks into VMware's own monitor";

/// Names that jitterbug has added, and those that scripts define for their guest's system. A script
/// may define these names itself.
const ADDED: &[&str] = &[
    "unload",
    "symname",
    "curtask",
    "curpid",
    "curprocname",
    "readmsr",
    "getgpr",
    "assert",
    "injectnmi",
    "setreg",
    "poke",
    "pokephys",
    "stopvm",
    "dump",
];

/// Whether a script can't define this name.
pub(crate) fn is_reserved(name: &str) -> bool {
    !ADDED.contains(&name) && head(name).is_some()
}

/// Every name, for the documentation's table.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Head)> {
    TABLE.iter().copied()
}
