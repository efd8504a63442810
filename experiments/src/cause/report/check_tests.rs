use super::*;
use crate::cause::report::summary::tests::{access, steps};
use crate::cause::trace::Kind;

fn named(vcpu: u32, point: u64) -> Named {
    access(vcpu, point, Kind::Write, "0x1", "f", point as u32)
}

fn statement<'a>(shape: Shape, parts: &[&[&'a Named]]) -> Statement<'a> {
    Statement { shape, parts: parts.iter().map(|part| part.to_vec()).collect() }
}

#[test]
fn what_is_made_of_the_order_of_the_points_stands() {
    let all = [named(0, 1), named(1, 2), named(1, 3), named(0, 4), named(1, 6)];
    let [one, two, three, four, six] = all.each_ref();
    let run = steps(&[one, two, three, four, six]);
    for (accesses, shape) in [
        (vec![one, two], Shape::Before),
        (vec![one, two, three], Shape::Before),
        (vec![one, two, three, four], Shape::Between),
        (vec![one, two, four, six], Shape::Overlap),
        (vec![two, three, four, six], Shape::Turns),
    ] {
        let made = Statement::of(&accesses);
        assert_eq!(made.shape, shape);
        assert_eq!(made.check(&run), Ok(()), "{shape:?}");
    }
}

#[test]
fn what_the_run_contradicts_is_noticed() {
    let (a, b, c, d) = (named(0, 1), named(1, 2), named(1, 3), named(0, 4));
    let run = steps(&[&a, &b, &c, &d]);
    let wrong = |shape: Shape, parts: &[&[&Named]]| {
        statement(shape, parts).check(&run).expect_err("it isn't so")
    };
    // The other order, also in part; the inner sequence in the place of the outer one.
    wrong(Shape::Before, &[&[&b], &[&a]]);
    wrong(Shape::Before, &[&[&a, &d], &[&b]]);
    wrong(Shape::Between, &[&[&b], &[&a, &d], &[&c]]);
    // Another shape for the same accesses.
    wrong(Shape::Overlap, &[&[&a], &[&b, &c], &[&d]]);
    wrong(Shape::Between, &[&[&a], &[&b], &[&c]]);
    wrong(Shape::Before, &[&[&a, &b], &[&c]]);
    // There is another operation at that point, or none.
    for other in [
        Named { kind: Kind::Read, ..b.clone() },
        Named { address: "0x2".into(), ..b.clone() },
        Named { function: "g".into(), ..b.clone() },
        Named { in_handler: true, ..b.clone() },
        Named { point: 7, ..b.clone() },
    ] {
        let problem = wrong(Shape::Before, &[&[&a], &[&other]]);
        assert!(problem.contains("at point"), "{problem}");
    }
    // An access that is stated never to come does come; or something comes after an access that
    // never comes.
    let never = Named { point: 0, ..d.clone() };
    assert!(wrong(Shape::Before, &[&[&b], &[&never]]).contains("never to come"));
    wrong(Shape::Before, &[&[&never], &[&b]]);
    assert_eq!(
        statement(Shape::Before, &[&[&c], &[&Named { point: 0, ..named(0, 9) }]]).check(&run),
        Ok(())
    );
}
