//! Names that users of bpftrace or DTrace may write, and their equivalents here.

/// Probe points, by their whole name or by the part before the first colon.
const POINTS: &[(&str, &str)] = &[
    ("BEGIN", "VMMLoad, which fires on each vCPU before its first instruction"),
    ("begin", "VMMLoad, which fires on each vCPU before its first instruction"),
    ("END", "VMMUnload, which fires on each vCPU after its last instruction"),
    ("end", "VMMUnload, which fires on each vCPU after its last instruction"),
    ("kprobe", "GUEST:ENTER:function"),
    ("kretprobe", "GUEST:EXIT:function"),
    ("kfunc", "GUEST:ENTER:function"),
    ("kretfunc", "GUEST:EXIT:function"),
    ("fentry", "GUEST:ENTER:function"),
    ("fexit", "GUEST:EXIT:function"),
    ("fbt", "GUEST:ENTER:function or GUEST:EXIT:function"),
    ("uprobe", "GUEST:ENTER:function"),
    ("uretprobe", "GUEST:EXIT:function"),
    ("pid", "GUEST:ENTER:function or GUEST:EXIT:function"),
    ("interval", "VMX:TIMER:1sec, which fires once for the machine"),
    ("tick", "VMX:TIMER:1sec, which fires once for the machine"),
    ("profile", "VMM:PROFILE:10msec, which fires on each vCPU"),
    ("watchpoint", "GUEST:WRITE:variable or GUEST:READ:variable"),
    ("asyncwatchpoint", "GUEST:WRITE:variable or GUEST:READ:variable"),
    ("tracepoint", "GUEST:ENTER:function, at the function that has the tracepoint"),
    ("syscall", "GUEST:ENTER:function, at the kernel's function for it"),
];

/// Variables and functions.
const NAMES: &[(&str, &str)] = &[
    ("arg0", "ARG0"),
    ("arg1", "ARG1"),
    ("arg2", "ARG2"),
    ("arg3", "ARG3"),
    ("arg4", "ARG4"),
    ("arg5", "ARG5"),
    ("retval", "ARG0 at GUEST:EXIT"),
    ("cpu", "VCPUID"),
    ("ncpus", "NUMVCPUS"),
    ("nsecs", "elapsed"),
    ("timestamp", "elapsed"),
    ("probe", "PROBENAME"),
    ("probefunc", "PROBENAME"),
    ("func", "PROBENAME"),
    ("kstack", "gueststack()"),
    ("ustack", "gueststack()"),
    ("stack", "gueststack()"),
    ("ksym", "symname(address)"),
    ("usym", "symname(address)"),
    ("kaddr", "&symbol"),
    ("reg", "the register's name, such as RAX"),
    ("str", "(string)address"),
    ("copyinstr", "(string)address"),
    ("quantize", "hist(value)"),
    ("lquantize", "lhist(value, low, high, step)"),
    ("stats", "avg(value)"),
    ("print", "logaggr(aggregate)"),
    ("printa", "logaggr(aggregate)"),
    ("clear", "clearaggr(aggregate)"),
    ("trunc", "clearaggr(aggregate)"),
    ("time", "--timestamps"),
    ("strftime", "--timestamps"),
];

/// The equivalent of a probe point of another language.
pub(crate) fn point(name: &str) -> Option<String> {
    let word = name.split_once(':').map_or(name, |(word, _)| word);
    found(POINTS, word)
}

/// The equivalent of a variable or function of another language.
pub(crate) fn name(name: &str) -> Option<String> {
    found(NAMES, name)
}

/// The advice about a `@` where an expression or a statement begins.
pub(crate) const AGGREGATE: &str =
    "aggregates have no sign here: name[key]++ or name[key] = hist(value)";
/// The advice about a `$`.
pub(crate) const VARIABLE: &str =
    "variables have no sign here: name = value, or int name = value for one of the block";

fn found(table: &[(&str, &str)], word: &str) -> Option<String> {
    let (_, here) = table.iter().find(|(known, _)| *known == word)?;
    Some(format!("here that is {here}"))
}
