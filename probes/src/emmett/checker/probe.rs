//! Checks whole probes and functions.

use std::collections::HashMap;

use super::super::tree::{Function, Parameter, Probe};
use super::super::types::Type;
use super::declare::Body;
use super::{Checker, Local};
use crate::ir::{self, Expression, Frame, Integer, Statement, StringTarget};
use crate::point;
use crate::variable::{self, Builtin};
use crate::vp::checker::{MAX_PROBES, no_point};

/// The most parameters of a function. A probe has at most 10 arguments.
const MAX_PARAMETERS: usize = 32;

impl Checker<'_> {
    /// Checks and lowers an item with a body.
    pub(super) fn body(&mut self, body: &Body) {
        self.locals.clear();
        self.frame = Frame::default();
        self.loops = 0;
        match body {
            Body::Function(function, model) => {
                self.model = *model;
                self.function_body(function);
            }
            Body::Probe(probe, model) => {
                self.model = *model;
                self.probe(probe);
            }
        }
        self.locals.clear();
    }

    /// Binds the parameters of a function to the first locals, in order.
    pub(super) fn bind_parameters(&mut self, function: &Function) {
        let types = match self.signatures.get(&function.name.name) {
            Some(signature) => signature.parameters.clone(),
            None => Vec::new(),
        };
        self.locals.push(HashMap::new());
        for (parameter, of) in function.parameters.iter().zip(types) {
            let slot = self.new_integer();
            let local = match of {
                Type::Str => Local::Str(StringTarget::Parameter(slot)),
                of => Local::Integer(slot, of),
            };
            self.bind(&parameter.name.name, local);
        }
    }

    /// Binds the parameters of a probe to its arguments.
    pub(super) fn bind_arguments(&mut self, parameters: &[Parameter]) {
        self.locals.push(HashMap::new());
        for (number, parameter) in parameters.iter().enumerate() {
            let Some(of) = self.parameter(parameter) else { continue };
            let span = parameter.name.span;
            if !of.is_scalar() {
                let problem = format!("an argument can't be {}", self.records.describe(&of));
                self.wrong::<()>(span, problem, "expected an integer or a pointer");
                continue;
            }
            match variable::find(&format!("ARG{number}")) {
                Some(Builtin::Integer(argument)) => {
                    self.bind(&parameter.name.name, Local::Argument(argument, of));
                }
                _ => {
                    self.wrong::<()>(span, "a probe has at most 10 arguments", "one too many");
                }
            }
        }
    }

    fn function_body(&mut self, function: &Function) {
        let Some(signature) = self.signatures.get(&function.name.name).cloned() else { return };
        if signature.parameters.len() > MAX_PARAMETERS {
            let problem = format!("a function has at most {MAX_PARAMETERS} parameters");
            self.wrong::<()>(function.name.span, problem, "too many");
        }
        self.result = Some(signature.result.clone());
        self.bind_parameters(function);
        let statements = function.body.as_deref().unwrap_or_default();
        let body: Vec<Statement> =
            statements.iter().flat_map(|statement| self.statement(statement)).collect();
        let result = match signature.result {
            Type::Str => Expression::Str(ir::Str::Constant(Box::from([]))),
            _ => Expression::Integer(Integer::Constant(0)),
        };
        let kind = |of: &Type| if *of == Type::Str { ir::Type::Str } else { ir::Type::Integer };
        self.program.functions.push(ir::Function {
            name: function.name.name.clone(),
            parameters: signature.parameters.iter().map(kind).collect(),
            body,
            result,
            frame: self.frame,
        });
    }

    fn probe(&mut self, probe: &Probe) {
        let points = match point::find(&probe.point, &self.scope) {
            Ok(points) => Some(points),
            Err(error) => {
                self.problems.report(no_point(probe.span, &error));
                None
            }
        };
        self.result = None;
        self.bind_arguments(&probe.parameters);
        let predicate = probe.predicate.as_ref().map(|predicate| self.integer(predicate));
        let body = self.statement(&probe.body);
        if self.program.probes.len() >= MAX_PROBES {
            let problem = format!("there are more than {MAX_PROBES} probes");
            self.wrong::<()>(probe.span, problem, "this one is too many");
            return;
        }
        let Some(points) = points else { return };
        self.program.probes.push(ir::Probe {
            points,
            written: probe.point.as_str().into(),
            span: probe.span,
            predicate: predicate.flatten(),
            body,
            frame: self.frame,
        });
    }
}
