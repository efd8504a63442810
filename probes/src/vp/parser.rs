//! Builds the tree of a VP script from its tokens.

use crate::diagnostic::Diagnostic;
use crate::source::Span;

use super::lexer::{Token, Tokens};
use super::tree::{Node, NodeKind};

/// The deepest nesting of lists. It bounds the stack depth of everything that walks the tree.
pub const MAX_DEPTH: usize = 100;

/// Parses the top-level lists of a script. An error in the tokens is reported if there is none
/// before it.
pub fn parse(tokens: Tokens) -> Result<Vec<Node>, Box<Diagnostic>> {
    let Tokens { list, error, end } = tokens;
    // The lists that are still open, outermost first, each with the place of its parenthesis.
    let mut open: Vec<(Span, Vec<Node>)> = Vec::new();
    let mut top = Vec::new();
    for (token, span) in list {
        let node = match token {
            Token::Open if open.len() == MAX_DEPTH => {
                return Err(Box::new(Diagnostic::error(
                    span,
                    "lists are nested too deep",
                    format!("at most {MAX_DEPTH} parentheses can be open"),
                )));
            }
            Token::Open => {
                open.push((span, Vec::new()));
                continue;
            }
            Token::Close => match open.pop() {
                Some((start, list)) => Node { span: start.to(span), kind: NodeKind::List(list) },
                None => {
                    return Err(Box::new(Diagnostic::error(
                        span,
                        "this parenthesis closes nothing",
                        "expected a form such as (vprobe VMM1Hz ...), or the end",
                    )));
                }
            },
            Token::Atom(atom) => Node { span, kind: atom_kind(atom) },
            Token::Literal(literal) => Node { span, kind: NodeKind::Literal(literal) },
        };
        match open.last_mut() {
            Some((_, list)) => list.push(node),
            None => top.push(node),
        }
    }
    if let Some(error) = error {
        return Err(error);
    }
    match open.pop() {
        None => Ok(top),
        Some((start, _)) => {
            let label = "expected ) before the end of the script";
            let diagnostic = Diagnostic::error(start, "this parenthesis is never closed", label);
            Err(Box::new(diagnostic.with_related(end, "the script ends here")))
        }
    }
}

/// Whether an atom begins like a number, and so can't be a name.
pub fn looks_like_number(atom: &str) -> bool {
    atom.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit())
        && !atom.starts_with("++")
        && !atom.starts_with("--")
}

fn atom_kind(atom: String) -> NodeKind {
    match integer(&atom) {
        Some(value) => NodeKind::Integer(value),
        None => NodeKind::Word(atom),
    }
}

/// Parses `17`, `+17`, `-17` or `0x11`; a negative number becomes its two's complement.
fn integer(atom: &str) -> Option<u64> {
    let (negative, digits) = match atom.strip_prefix(['+', '-']) {
        Some(digits) => (atom.starts_with('-'), digits),
        None => (false, atom),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    // `from_str_radix` would accept another sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative && value > 1 << 63 {
        return None;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests;
