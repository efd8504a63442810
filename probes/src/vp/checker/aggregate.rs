//! Checks aggregates and bags.

use inspect::suggest::nearest;
use inspect::unwind;

use crate::aggregate::Kind;
use crate::diagnostic::Diagnostic;
use crate::front::aggregation;
use crate::ir::{AggregateSlot, BagSlot, Integer, Statement};

use super::super::tree::{Node, NodeKind};
use super::{Call, Checker, Slot};

impl Checker<'_> {
    fn named<T>(&mut self, node: &Node, what: &str, pick: fn(Slot) -> Option<T>) -> Option<T> {
        let label = format!("expected the name of {what}");
        let NodeKind::Word(name) = &node.kind else {
            return self.fail(Diagnostic::error(node.span, format!("this is not {what}"), label));
        };
        let Some(slot) = self.variables.get(name).map(|variable| variable.slot) else {
            let known = self.variables.iter().filter(|(_, v)| pick(v.slot).is_some());
            let near = nearest(name, known.map(|(name, _)| name.as_str())).map(str::to_owned);
            return self.unknown(name, node.span, &label, near.as_deref());
        };
        if let Some(found) = pick(slot) {
            return Some(found);
        }
        let problem = format!("{name} is {}, not {what}", slot.describe());
        self.fail(Diagnostic::error(node.span, problem, label))
    }

    pub(super) fn aggregate_named(&mut self, node: &Node) -> Option<AggregateSlot> {
        self.named(node, "an aggregate", |slot| match slot {
            Slot::Aggregate(slot) => Some(slot),
            _ => None,
        })
    }

    fn bag_named(&mut self, node: &Node) -> Option<BagSlot> {
        self.named(node, "a bag", |slot| match slot {
            Slot::Bag(slot) => Some(slot),
            _ => None,
        })
    }

    /// `(aggr A (integers) (strings) value)`.
    pub(super) fn aggregate(&mut self, call: &Call) -> Option<Integer> {
        let [name, integers, strings, value] = call.arguments else {
            return self.arity(call, "(aggr NAME (INTEGER-KEY ...) (STRING-KEY ...) VALUE)");
        };
        let slot = self.aggregate_named(name)?;
        let integer_keys = self.keys(integers)?;
        let string_keys = self.keys(strings)?;
        let (stack, string_keys) = self.stack_key(string_keys)?;
        let (kind, value) = self.aggregation(value)?;
        let declared = self.program.aggregates.get(slot.0)?;
        let taken = usize::from(self.usages.has_stack(slot));
        let declared = (declared.integers, declared.strings + taken);
        let given = (integer_keys.len(), string_keys.len() + usize::from(stack.is_some()));
        if declared != given {
            return self.fail(Diagnostic::error(
                call.span,
                format!("{} integer and {} string keys are given", given.0, given.1),
                format!("its definition has {} and {}", declared.0, declared.1),
            ));
        }
        if let Err(problem) = self.usages.agree(self.program, slot, kind, stack, call.span) {
            return self.fail(*problem);
        }
        let integers: Vec<_> = integer_keys.iter().map(|node| self.integer(node)).collect();
        let strings: Vec<_> = string_keys.iter().map(|node| self.string(node)).collect();
        let value = match value {
            Some(value) => self.integer(value)?,
            None => Integer::Constant(1),
        };
        Some(Integer::Aggregate {
            aggregate: slot,
            integers: integers.into_iter().collect::<Option<_>>()?,
            strings: strings.into_iter().collect::<Option<_>>()?,
            value: Box::new(value),
            place: self.place(call.span),
        })
    }

    fn keys<'b>(&mut self, node: &'b Node) -> Option<&'b [Node]> {
        match &node.kind {
            NodeKind::List(keys) => Some(keys),
            _ => self.fail(Diagnostic::error(
                node.span,
                "keys stand in a list",
                "expected (KEY ...), or () for none",
            )),
        }
    }

    /// Splits `(gueststack)` or `(gueststack 5)` off, if it is the last string key.
    fn stack_key<'b>(&mut self, keys: &'b [Node]) -> Option<(Option<usize>, &'b [Node])> {
        let Some((last, before)) = keys.split_last() else { return Some((None, keys)) };
        let NodeKind::List(list) = &last.kind else { return Some((None, keys)) };
        let frames = match list.as_slice() {
            [head] if is_word(head, "gueststack") => unwind::MAX_FRAMES,
            [head, Node { kind: NodeKind::Integer(frames), span }]
                if is_word(head, "gueststack") =>
            {
                let most = unwind::MAX_FRAMES;
                let Some(frames) = usize::try_from(*frames).ok().filter(|n| (1..=most).contains(n))
                else {
                    return self.fail(Diagnostic::error(
                        *span,
                        "this is no number of frames",
                        format!("expected a number from 1 to {most}"),
                    ));
                };
                frames
            }
            _ => return Some((None, keys)),
        };
        Some((Some(frames), before))
    }

    /// What an aggregate keeps of a value, according to the word around the value; and the value
    /// itself.
    fn aggregation<'b>(&mut self, node: &'b Node) -> Option<(Kind, Option<&'b Node>)> {
        let NodeKind::List(list) = &node.kind else { return Some((Kind::Classic, Some(node))) };
        let [Node { kind: NodeKind::Word(word), .. }, arguments @ ..] = list.as_slice() else {
            return Some((Kind::Classic, Some(node)));
        };
        if !aggregation::WORDS.contains(&word.as_str()) || self.function_named(word).is_some() {
            return Some((Kind::Classic, Some(node)));
        }
        let number = |node: &Node| match node.kind {
            NodeKind::Integer(value) => Some(value),
            _ => None,
        };
        let numbers: Vec<_> = arguments.iter().map(number).collect();
        let kind = match aggregation::kind(word, &numbers) {
            Ok(kind) => kind,
            Err(problem) => {
                let label =
                    "expected (count), (hist VALUE), (lhist VALUE LOW HIGH STEP) or the like";
                return self.fail(Diagnostic::error(node.span, problem, label));
            }
        };
        Some((kind, arguments.first()))
    }

    pub(super) fn on_aggregate(
        &mut self,
        call: &Call,
        make: fn(AggregateSlot) -> Integer,
    ) -> Option<Integer> {
        let [name] = call.arguments else { return self.arity(call, "an aggregate") };
        self.aggregate_named(name).map(make)
    }

    pub(super) fn bag_insert(&mut self, call: &Call) -> Option<Integer> {
        let [bag, key, value] = call.arguments else {
            return self.arity(call, "a bag, a key and a value");
        };
        let (bag, key) = (self.bag_named(bag), self.integer(key));
        let value = self.integer(value)?;
        Some(Integer::BagInsert(bag?, Box::new(key?), Box::new(value)))
    }

    pub(super) fn bag_remove(&mut self, call: &Call) -> Option<Integer> {
        let [bag, key] = call.arguments else { return self.arity(call, "a bag and a key") };
        let bag = self.bag_named(bag);
        let key = self.integer(key)?;
        Some(Integer::BagRemove(bag?, Box::new(key)))
    }

    /// A statement that has the value 0 where a value is needed.
    pub(super) fn ending(&mut self, call: &Call, statement: Statement) -> Option<Integer> {
        if !call.arguments.is_empty() {
            return self.arity(call, "none");
        }
        Some(Integer::Sequence(vec![statement], Box::new(Integer::Constant(0))))
    }
}

fn is_word(node: &Node, word: &str) -> bool {
    matches!(&node.kind, NodeKind::Word(name) if name == word)
}
