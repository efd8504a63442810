//! Finds stacks in a line, and looks up the names of their functions.

use inspect::Inspector;

use super::{LineKind, OutputLine};

/// The line with the names for the stacks in a line; `None` if the line contains no stack, or if
/// there are no symbols.
pub(super) fn stack_line(line: &OutputLine, inspector: &Inspector) -> Option<OutputLine> {
    let text = line.text();
    let stacks: Vec<String> = text
        .match_indices("GUEST_0x")
        .filter_map(|(at, _)| text.get(at + "GUEST".len()..))
        .map(addresses)
        .filter(|(addresses, _)| !addresses.is_empty())
        .map(|(addresses, cut)| {
            let end = if cut { " < ..." } else { "" };
            format!("{}{end}", inspector.stack(&addresses))
        })
        .collect();
    if stacks.is_empty() || inspector.symbols().is_none() {
        return None;
    }
    let bytes = format!("    {}", stacks.join("; ")).into_bytes();
    Some(OutputLine { vcpu: line.vcpu, kind: LineKind::Stack, bytes })
}

/// Replaces the stacks in a line by the names of their functions.
pub(super) fn in_line(mut line: OutputLine, inspector: &Inspector) -> OutputLine {
    const MARK: &str = "GUEST_0x";
    let text = String::from_utf8_lossy(&line.bytes);
    if !text.contains(MARK) || inspector.symbols().is_none() {
        return line;
    }
    let mut named = String::with_capacity(text.len() * 2);
    let mut rest = &*text;
    while let Some(at) = rest.find(MARK) {
        let (before, stack) = rest.split_at(at);
        let stack = stack.get("GUEST".len()..).unwrap_or_default();
        let length = stack.find(|c: char| !c.is_ascii_hexdigit() && c != '_' && c != 'x');
        let (frames, after) = stack.split_at(length.unwrap_or(stack.len()));
        let (addresses, _) = addresses(frames);
        named.push_str(before);
        named.push_str(&inspector.stack(&addresses).to_string());
        rest = after;
    }
    named.push_str(rest);
    line.bytes = named.into_bytes();
    line
}

/// Parses `_0x12_0x34`, and returns whether `_...` follows.
fn addresses(text: &str) -> (Vec<u64>, bool) {
    let mut addresses = Vec::new();
    let mut rest = text;
    while let Some(tail) = rest.strip_prefix("_0x") {
        let length = tail.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(tail.len());
        let (digits, after) = tail.split_at(length);
        let Ok(address) = u64::from_str_radix(digits, 16) else { break };
        addresses.push(address);
        rest = after;
    }
    (addresses, rest.starts_with("_..."))
}
