//! Warns about comparisons that have the same result for every value. All integers are unsigned, so
//! most of these are signed comparisons copied from C.

use crate::diagnostic::Diagnostic;
use crate::ir::{Integer, Operator};
use crate::source::Span;

/// The warning about `a OPERATOR b`, if the result is the same for every value.
pub(crate) fn warning(
    operator: Operator,
    a: &Integer,
    b: &Integer,
    span: Span,
) -> Option<Diagnostic> {
    let holds = match (a, b) {
        (Integer::Constant(_), Integer::Constant(_)) => None,
        (value, Integer::Constant(number)) => outcome(operator, largest(value), *number),
        (Integer::Constant(number), value) => outcome(mirrored(operator), largest(value), *number),
        _ => None,
    }?;
    let (problem, label) = if holds {
        ("this comparison always holds", "true for every value")
    } else {
        ("this comparison never holds", "false for every value")
    };
    let problem = format!("{problem}: integers are unsigned");
    let help = "whether a 64-bit value is negative says its top bit: x >> 63 == 1";
    Some(Diagnostic::warning(span, problem, label).with_help(help))
}

/// The largest possible value of an expression.
fn largest(value: &Integer) -> u64 {
    match value {
        Integer::Load { size, .. } if *size < 8 => (1 << (u32::from(*size) * 8)) - 1,
        _ => u64::MAX,
    }
}

/// The result of comparing any value up to `largest` with a number, if it is the same for every
/// value.
fn outcome(operator: Operator, largest: u64, number: u64) -> Option<bool> {
    let is_possible = number <= largest;
    match operator {
        Operator::Less if number == 0 => Some(false),
        Operator::GreaterOrEqual if number == 0 => Some(true),
        Operator::LessOrEqual if number >= largest => Some(true),
        Operator::Greater if number >= largest => Some(false),
        Operator::Less | Operator::NotEqual if !is_possible => Some(true),
        Operator::GreaterOrEqual | Operator::Equal if !is_possible => Some(false),
        _ => None,
    }
}

/// The operator that gives the same result with its operands swapped.
fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_one_for_every_value() {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let numbers = [0, 1, 2, 254, 255, 256, 300, u64::MAX];
        for operator in [Less, LessOrEqual, Greater, GreaterOrEqual, Equal, NotEqual] {
            for number in numbers {
                let truths = (0..=255).map(|value| operator.apply(value, number) == Some(1));
                let truths: std::collections::BTreeSet<bool> = truths.collect();
                let expected = (truths.len() == 1).then(|| truths.first().copied()).flatten();
                assert_eq!(outcome(operator, 255, number), expected, "{operator:?} {number}");
                let mirror = (0..=255).all(|value| {
                    operator.apply(number, value) == mirrored(operator).apply(value, number)
                });
                assert!(mirror, "{operator:?} {number}");
            }
        }
    }
}
