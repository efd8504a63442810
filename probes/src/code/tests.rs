use super::Op;
use crate::ir::Operator;
use crate::testing::load;

/// The instructions of a probe's body.
fn ops(body: &str) -> Vec<Op> {
    load(&format!("(definteger n) (defstring s) (vprobe VMM1Hz {body})")).ops()
}

#[test]
fn what_has_no_effect_costs_nothing() {
    assert_eq!(ops("0 n \"x\" s"), [Op::Exit]);
}

#[test]
fn an_assignment_whose_value_nobody_takes_is_not_read_again() {
    assert_eq!(
        ops("(setint n (+ n 1))"),
        [Op::Get(0), Op::BinaryConstant(Operator::Add, 1), Op::Set(0), Op::Exit]
    );
    assert_eq!(
        ops("(cond (n (setint n 5)))"),
        [Op::Get(0), Op::JumpIfZero(5), Op::Constant(5), Op::Set(0), Op::Jump(5), Op::Exit]
    );
}

#[test]
fn a_predicate_is_asked_first() {
    assert_eq!(
        ops("/ n / (setint n 1)"),
        [Op::Get(0), Op::JumpUnlessZero(3), Op::Filtered, Op::Constant(1), Op::Set(0), Op::Exit]
    );
}

#[test]
fn an_instruction_is_small() {
    assert!(size_of::<Op>() <= 16);
}
