//! Checks aggregates and bags.

use inspect::unwind;

use super::super::tree::{Expression, Kind};
use super::super::types::Type;
use super::value::Value;
use super::{Checker, Entity};
use crate::aggregate;
use crate::front::aggregation;
use crate::ir::{AggregateSlot, BagSlot, Integer, Reading, Str};
use crate::source::Span;

/// The keys of an aggregate, grouped by type.
struct Keys {
    integers: Vec<Integer>,
    strings: Vec<Str>,
    stack: Option<usize>,
}

/// Whether a key is the guest's stack.
enum StackKey {
    /// The key is another expression.
    Other,
    /// The key is the stack, with this number of frames.
    Frames(usize),
    /// The key was meant to be the stack, and an error has been reported.
    Wrong,
}

impl Checker<'_> {
    fn aggregate_of(&self, of: &Expression) -> Option<AggregateSlot> {
        let Kind::Name(name) = &of.kind else { return None };
        match (self.local(name), self.entity(name)) {
            (None, Some(Entity::Aggregate(slot))) => Some(slot),
            _ => None,
        }
    }

    /// Whether this is the name of an aggregate.
    pub(super) fn is_aggregate(&self, of: &Expression) -> bool {
        self.aggregate_of(of).is_some()
    }

    /// The aggregate, bag or array that is indexed, and the keys: `a[k]`, or the name alone for an
    /// aggregate without keys.
    pub(super) fn keyed<'e>(
        &self,
        target: &'e Expression,
    ) -> Option<(&'e Expression, &'e [Expression])> {
        match &target.kind {
            Kind::Index(of, keys) => Some((of, keys)),
            Kind::Name(_) if self.is_aggregate(target) => Some((target, &[])),
            _ => None,
        }
    }

    fn bag_of(&self, of: &Expression) -> Option<BagSlot> {
        let Kind::Name(name) = &of.kind else { return None };
        match (self.local(name), self.entity(name)) {
            (None, Some(Entity::Bag(slot))) => Some(slot),
            _ => None,
        }
    }

    /// Recognises the guest's stack as a key: `gueststack()` or `gueststack(5)`.
    fn stack_key(&mut self, key: &Expression) -> StackKey {
        let Kind::Call(name, _, arguments) = &key.kind else { return StackKey::Other };
        if name != "gueststack" {
            return StackKey::Other;
        }
        let most = unwind::MAX_FRAMES as u64;
        let frames = match arguments.as_slice() {
            [] => Some(most),
            [frames] => self.constant_value(frames).filter(|frames| (1..=most).contains(frames)),
            _ => None,
        };
        if let Some(frames) = frames {
            return StackKey::Frames(frames as usize);
        }
        let label = "expected gueststack() or gueststack(FRAMES) with 1 to 64 frames";
        self.wrong::<()>(key.span, "this is no stack for a key", label);
        StackKey::Wrong
    }

    /// Separates the keys, which may be in any order, into integers and strings.
    fn keys(&mut self, keys: &[Expression]) -> Option<Keys> {
        let mut all = Keys { integers: Vec::new(), strings: Vec::new(), stack: None };
        for key in keys {
            match self.stack_key(key) {
                StackKey::Other => {}
                StackKey::Wrong => return None,
                StackKey::Frames(_) if all.stack.is_some() => {
                    return self.wrong(key.span, "the stack is a key twice", "expected one");
                }
                StackKey::Frames(frames) => {
                    all.stack = Some(frames);
                    continue;
                }
            }
            match self.value(key)? {
                Value::Text(text) => all.strings.push(text),
                other => {
                    let (integer, _) = self.as_number(other, key.span)?;
                    all.integers.push(integer);
                }
            }
        }
        Some(all)
    }

    fn matching(
        &mut self,
        slot: AggregateSlot,
        keys: &[Expression],
        kind: Option<aggregate::Kind>,
        span: Span,
    ) -> Option<Keys> {
        let keys = self.keys(keys)?;
        let shape = self.program.aggregates.get(slot.0)?;
        let taken = usize::from(self.usages.has_stack(slot));
        let declared = (shape.integers, shape.strings + taken);
        let given = (keys.integers.len(), keys.strings.len() + usize::from(keys.stack.is_some()));
        if declared != given {
            let problem = format!("{} integer and {} string keys are given", given.0, given.1);
            let label = format!("it has {} and {}", declared.0, declared.1);
            return self.wrong(span, problem, &label);
        }
        // Reading an aggregate doesn't determine its kind.
        if let Some(kind) = kind
            && let Err(problem) = self.usages.agree(self.program, slot, kind, keys.stack, span)
        {
            return self.fail(*problem);
        }
        Some(keys)
    }

    fn add(
        &mut self,
        of: &Expression,
        keys: &[Expression],
        kind: aggregate::Kind,
        value: Integer,
        span: Span,
    ) -> Option<Value> {
        let slot = self.aggregate_of(of)?;
        let Keys { integers, strings, .. } = self.matching(slot, keys, Some(kind), span)?;
        let (value, place) = (Box::new(value), self.place(span));
        Value::number(Integer::Aggregate { aggregate: slot, integers, strings, value, place })
    }

    /// `a[k] <- value` or `a[k] = hist(value)`.
    pub(super) fn update(
        &mut self,
        of: &Expression,
        keys: &[Expression],
        value: &Expression,
        span: Span,
    ) -> Option<Value> {
        let (kind, value) = match &value.kind {
            Kind::Call(word, _, arguments)
                if aggregation::WORDS.contains(&word.as_str())
                    && !self.signatures.contains_key(word) =>
            {
                let numbers: Vec<_> =
                    arguments.iter().map(|argument| self.constant_value(argument)).collect();
                match aggregation::kind(word, &numbers) {
                    Ok(kind) => (kind, arguments.first()),
                    Err(problem) => {
                        let label = "expected count(), hist(VALUE), lhist(VALUE, LOW, HIGH, STEP) \
                                     or the like";
                        return self.wrong(value.span, problem, label);
                    }
                }
            }
            _ => (aggregate::Kind::Classic, Some(value)),
        };
        let value = match value {
            Some(value) => self.integer(value)?,
            None => Integer::Constant(1),
        };
        self.add(of, keys, kind, value, span)
    }

    /// `a[k]++`.
    pub(super) fn count(
        &mut self,
        of: &Expression,
        keys: &[Expression],
        up: bool,
        span: Span,
    ) -> Option<Value> {
        if self.bag_of(of).is_some() {
            return self.wrong(span, "a bag can't be counted up", "expected bag[key] <- value");
        }
        if !self.is_aggregate(of) {
            return self.wrong(
                of.span,
                "this is no aggregate",
                "expected the name of an aggregate",
            );
        }
        if !up {
            return self.wrong(span, "an aggregate can't be counted down", "expected ++");
        }
        self.add(of, keys, aggregate::Kind::Classic, Integer::Constant(1), span)
    }

    /// `a[k] <- v`, for aggregates and bags.
    pub(super) fn insert(
        &mut self,
        target: &Expression,
        value: &Expression,
        span: Span,
    ) -> Option<Value> {
        let Kind::Index(of, keys) = &target.kind else {
            let label = "expected aggregate[key] <- value or bag[key] <- value";
            return self.wrong(target.span, "nothing can be inserted here", label);
        };
        if self.is_aggregate(of) {
            return self.update(of, keys, value, span);
        }
        let Some(slot) = self.bag_of(of) else {
            if let Kind::Name(name) = &of.kind
                && self.local(name).is_none()
                && self.entity(name).is_none()
            {
                return self.unknown(name, of.span, "expected an aggregate or a bag");
            }
            return self.wrong(
                of.span,
                "nothing can be inserted here",
                "expected an aggregate or a bag",
            );
        };
        let [key] = keys.as_slice() else {
            return self.wrong(span, "a bag has one key", "expected bag[key] <- value");
        };
        let key = self.integer(key);
        let value = self.integer(value)?;
        Value::number(Integer::BagInsert(slot, Box::new(key?), Box::new(value)))
    }

    /// Reading a bag removes the pair.
    pub(super) fn bag_remove(
        &mut self,
        slot: BagSlot,
        keys: &[Expression],
        span: Span,
    ) -> Option<Value> {
        let [key] = keys else { return self.wrong(span, "a bag has one key", "expected bag[key]") };
        let key = self.integer(key)?;
        Value::number(Integer::BagRemove(slot, Box::new(key)))
    }

    /// Reads a figure under a key; `a[k]` alone is the sum.
    pub(super) fn figure(
        &mut self,
        of: &Expression,
        keys: &[Expression],
        reading: Reading,
        span: Span,
    ) -> Option<Value> {
        let slot = self.aggregate_of(of)?;
        self.reads.push((slot, span));
        let Keys { integers, strings, .. } = self.matching(slot, keys, None, span)?;
        let place = self.place(span);
        let read = Integer::AggregateRead { aggregate: slot, integers, strings, reading, place };
        Some(Value::Number(read, Type::NUMBER))
    }

    /// Reports an error for each read of an aggregate that has a stack as a key. A read would have
    /// to name a stack frame by frame, which scripts can't.
    pub(super) fn check_reads(&mut self) {
        for (slot, span) in std::mem::take(&mut self.reads) {
            if self.usages.has_stack(slot) {
                let problem = "an aggregate with a stack for a key can't be read";
                self.wrong::<()>(span, problem, "it is printed at the end");
            }
        }
    }

    /// `logaggr(a)` and `clearaggr(a)`.
    pub(super) fn on_aggregate(
        &mut self,
        name: &str,
        arguments: &[Expression],
        span: Span,
        make: fn(AggregateSlot) -> Integer,
    ) -> Option<Value> {
        let slot = match arguments {
            [of] => self.aggregate_of(of),
            _ => None,
        };
        if let Some(slot) = slot {
            return Value::number(make(slot));
        }
        let problem = format!("{name} takes an aggregate");
        self.wrong(span, problem, "expected the name of an aggregate")
    }
}
