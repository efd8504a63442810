//! Checks functions that read the guest.

use inspect::suggest::nearest;

use crate::diagnostic::Diagnostic;
use crate::ir::{Integer, Operator, Scan, Space, Str, StringTarget, TaskValue};
use crate::text::Text;

use super::super::tree::{Node, NodeKind};
use super::{Call, Checker};

impl Checker<'_> {
    /// A linear address: an integer, or a symbol in double quotes as in Workstation 6.5.
    fn address(&mut self, node: &Node) -> Option<Integer> {
        let NodeKind::Literal(literal) = &node.kind else { return self.integer(node) };
        let name = &literal.value;
        let Some(symbols) = self.scope.symbols else {
            let problem = format!("there are no symbols to look {name} up in");
            return self.fail(
                Diagnostic::error(node.span, problem, "expected an address")
                    .with_help("--symbols takes a file that has them"),
            );
        };
        if let Some(address) = symbols.address(name) {
            return Some(Integer::Constant(address));
        }
        let problem = format!("{} has no symbol {name}", symbols.name());
        let near = symbols.nearest(name);
        self.fail(
            Diagnostic::error(node.span, problem, "expected a symbol of the guest")
                .suggesting(near.as_deref()),
        )
    }

    pub(super) fn get_guest(&mut self, call: &Call, space: Space) -> Option<Integer> {
        let [address] = call.arguments else { return self.arity(call, "an address") };
        let address = match space {
            Space::Linear => self.address(address)?,
            Space::Physical => self.integer(address)?,
        };
        let place = self.place(call.span);
        Some(Integer::Load { space, address: Box::new(address), size: 8, place })
    }

    /// `(getgueststr DST BYTES ADDRESS)`, `(getgueststr DST ADDRESS)`, or with a symbol
    /// `(getgueststr DST "SYMBOL" [OFFSET])`.
    pub(super) fn get_guest_string(&mut self, call: &Call, space: Space) -> Option<Integer> {
        const EXPECTED: &str = "a string variable, a number of bytes and an address";
        let most = || Integer::Constant(Text::MAX as u64);
        let (target, limit, address, offset) = match call.arguments {
            [target, symbol @ Node { kind: NodeKind::Literal(_), .. }, offset] => {
                (target, Some(most()), symbol, Some(offset))
            }
            [target, bytes, address] => (target, self.integer(bytes), address, None),
            [target, address] => (target, Some(most()), address, None),
            _ => return self.arity(call, EXPECTED),
        };
        let address = match space {
            Space::Linear => self.address(address),
            Space::Physical => self.integer(address),
        };
        let place = self.place(call.span);
        let address = match offset {
            None => address?,
            Some(offset) => {
                let offset = self.integer(offset)?;
                Integer::Fold(Operator::Add, vec![address?, offset], place)
            }
        };
        let target = self.string_target(target, "a string variable that takes the text")?;
        Some(Integer::LoadString {
            target,
            space,
            address: Box::new(address),
            limit: Box::new(limit?),
            place,
        })
    }

    pub(super) fn guest_stack(&mut self, call: &Call) -> Option<Integer> {
        let [target] = call.arguments else { return self.arity(call, "a string variable") };
        let target = self.string_target(target, "a string variable that takes the stack")?;
        Some(Integer::GuestStack(target, self.place(call.span)))
    }

    /// `(getsystemtime)`, or `(getsystemtime VARIABLE)` as in Workstation 6.5.
    pub(super) fn system_time(&mut self, call: &Call) -> Option<Integer> {
        match call.arguments {
            [] => Some(Integer::SystemTime),
            [target] => {
                let target = self.integer_target(target, "an integer variable")?;
                let set = Integer::Set(target, Box::new(Integer::SystemTime));
                let done = crate::ir::Statement::Evaluate(crate::ir::Expression::Integer(set));
                Some(Integer::Sequence(vec![done], Box::new(Integer::Constant(1))))
            }
            _ => self.arity(call, "an integer variable or nothing"),
        }
    }

    pub(super) fn task(&mut self, call: &Call, value: TaskValue) -> Option<Integer> {
        match call.arguments {
            [] => Some(Integer::Task(value, self.place(call.span))),
            _ => self.arity(call, "no arguments"),
        }
    }

    pub(super) fn task_name(&mut self, call: &Call) -> Option<Str> {
        match call.arguments {
            [] => Some(Str::TaskName(self.place(call.span))),
            _ => self.arity(call, "no arguments"),
        }
    }

    pub(super) fn scan(&mut self, call: &Call, scan: Scan) -> Option<Integer> {
        let (address, callee) = match (scan, call.arguments) {
            (Scan::Source, [address, callee]) => {
                let address = self.address(address);
                (address?, Some(Box::new(self.address(callee)?)))
            }
            (Scan::Source, _) => return self.arity(call, "an address and that of strcpy"),
            (_, [address]) => (self.address(address)?, None),
            _ => return self.arity(call, "an address"),
        };
        let place = self.place(call.span);
        Some(Integer::Scan { scan, address: Box::new(address), callee, place })
    }

    /// A string variable as the target of an assignment.
    pub(super) fn string_target(&mut self, node: &Node, expected: &str) -> Option<StringTarget> {
        let label = format!("expected {expected}");
        let NodeKind::Word(name) = &node.kind else {
            return self.fail(Diagnostic::error(node.span, "this can't be assigned to", label));
        };
        if let Some(target) = self.string_named(name) {
            return Some(target);
        }
        self.no_target(name, node.span, &label, "setint assigns to an integer")
    }

    /// An integer variable as the target of an assignment.
    pub(super) fn integer_target(
        &mut self,
        node: &Node,
        expected: &str,
    ) -> Option<crate::ir::IntegerTarget> {
        let label = format!("expected {expected}");
        let NodeKind::Word(name) = &node.kind else {
            return self.fail(Diagnostic::error(node.span, "this can't be assigned to", label));
        };
        if let Some(target) = self.integer_named(name) {
            return Some(target);
        }
        self.no_target(name, node.span, &label, "setstr assigns to a string")
    }

    fn no_target<T>(
        &mut self,
        name: &str,
        span: crate::source::Span,
        label: &str,
        other: &str,
    ) -> Option<T> {
        if let Some(what) = self.what_is(name) {
            let diagnostic = Diagnostic::error(span, format!("this is {what}"), label);
            let fits = matches!(what, "an integer" | "a string");
            return self.fail(if fits { diagnostic.with_help(other) } else { diagnostic });
        }
        if crate::variable::find(name).is_some() {
            let problem = format!("{name} is built in and can't be assigned to");
            return self.fail(Diagnostic::error(span, problem, label));
        }
        let near = nearest(name, self.variables.keys().map(String::as_str)).map(str::to_owned);
        self.unknown(name, span, label, near.as_deref())
    }
}
