//! Prints a tree as text, a statement to a line, with every possible parenthesis. If the parser
//! builds another tree from that text, the other tree prints differently.

use std::fmt::{self, Display, Formatter};

use super::tree::{
    Declaration, Declarator, Directive, Expression, Function, IntegerName, Item, Kind, Parameter,
    Probe, Statement, TypeName,
};

/// Items, printed with a separator between them.
struct List<'a, T>(&'a [T], &'static str);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(self.1)?;
            }
            part.fmt(f)?;
        }
        Ok(())
    }
}

/// Statements in braces, each on a line of its own.
struct Block<'a>(&'a [Statement]);

impl Display for Block<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{ }");
        }
        f.write_str("{\n")?;
        for statement in self.0 {
            // A literal has no newlines of its own, because it is printed with escapes.
            for line in statement.to_string().lines() {
                writeln!(f, "    {line}")?;
            }
        }
        f.write_str("}")
    }
}

/// A statement in braces, so that it can't absorb what follows, such as the `else` of another
/// statement.
struct Braced<'a>(&'a Statement);

impl Display for Braced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Statement::Block(statements) => Block(statements).fmt(f),
            other => Block(std::slice::from_ref(other)).fmt(f),
        }
    }
}

impl Display for Item {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directive(directive) => directive.fmt(f),
            Self::Declaration(declaration) => declaration.fmt(f),
            Self::Function(function) => function.fmt(f),
            Self::Probe(probe) => probe.fmt(f),
        }
    }
}

impl Display for Directive {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.name.as_str(), &self.value) {
            ("memmodel", Some(value)) => write!(f, "memmodel {value};"),
            (name, Some(value)) => write!(f, "@{name} = {value};"),
            (name, None) => write!(f, "@{name};"),
        }
    }
}

impl Display for Declaration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_typedef {
            f.write_str("typedef ")?;
        }
        if self.is_constant {
            f.write_str("const ")?;
        }
        if let Some((storage, _)) = &self.storage {
            write!(f, "{storage} ")?;
        }
        write!(f, "{} {};", self.base, List(&self.names, ", "))
    }
}

impl Display for Declarator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", "*".repeat(self.pointers.into()), self.name)?;
        for dimension in &self.dimensions {
            match dimension {
                Some(count) => write!(f, "[{count}]")?,
                None => f.write_str("[]")?,
            }
        }
        if let Some(offset) = &self.offset {
            write!(f, "@{offset}")?;
        }
        if let Some(bits) = &self.bits {
            write!(f, " : {bits}")?;
        }
        match &self.value {
            Some(value) => write!(f, " = {value}"),
            None => Ok(()),
        }
    }
}

impl Display for TypeName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void => f.write_str("void"),
            Self::Integer(IntegerName::Sized(bytes)) => write!(f, "uint{}", u32::from(*bytes) * 8),
            Self::Integer(IntegerName::Int) => f.write_str("int"),
            Self::Integer(IntegerName::Long) => f.write_str("long"),
            Self::Str => f.write_str("string"),
            Self::Bag => f.write_str("bag"),
            Self::Aggregate => f.write_str("aggr"),
            Self::Record { is_union, tag, fields, .. } => {
                f.write_str(if *is_union { "union" } else { "struct" })?;
                if let Some(tag) = tag {
                    write!(f, " {tag}")?;
                }
                match fields {
                    Some(fields) => write!(f, " {{ {} }}", List(fields, " ")),
                    None => Ok(()),
                }
            }
            Self::Enumeration(None) => f.write_str("enum e"),
            Self::Enumeration(Some(constants)) => {
                f.write_str("enum {")?;
                for (name, _, value) in constants {
                    match value {
                        Some(value) => write!(f, " {name} = {value},")?,
                        None => write!(f, " {name},")?,
                    }
                }
                f.write_str(" }")
            }
            Self::Named(name, _) => f.write_str(name),
        }
    }
}

impl Display for Parameter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A prototype, a cast and `sizeof` may have a type without a name.
        match self.name.to_string() {
            name if name.is_empty() => self.base.fmt(f),
            name => write!(f, "{} {name}", self.base),
        }
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}({})", self.result, self.name, List(&self.parameters, ", "))?;
        match &self.body {
            Some(body) => write!(f, " {}", Block(body)),
            None => f.write_str(";"),
        }
    }
}

impl Display for Probe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.point)?;
        if !self.parameters.is_empty() {
            write!(f, "({})", List(&self.parameters, ", "))?;
        }
        if let Some(predicate) = &self.predicate {
            write!(f, " /{predicate}/")?;
        }
        write!(f, " {}", self.body)
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(statements) => Block(statements).fmt(f),
            Self::Declaration(declaration) => declaration.fmt(f),
            Self::Expression(expression) => write!(f, "{expression};"),
            Self::If(condition, yes, None) => write!(f, "if ({condition}) {}", Braced(yes)),
            Self::If(condition, yes, Some(no)) => {
                write!(f, "if ({condition}) {} else {}", Braced(yes), Braced(no))
            }
            Self::For { start, condition, step, body } => {
                f.write_str("for (")?;
                match start {
                    Some(start) => write!(f, "{start}")?,
                    None => f.write_str(";")?,
                }
                if let Some(condition) = condition {
                    write!(f, " {condition}")?;
                }
                f.write_str(";")?;
                if let Some(step) = step {
                    write!(f, " {step}")?;
                }
                write!(f, ") {}", Braced(body))
            }
            Self::Try(body, handler) => {
                write!(f, "try {} catch {}", Braced(body), Braced(handler))
            }
            Self::Return(Some(value), _) => write!(f, "return {value};"),
            Self::Return(None, _) => f.write_str("return;"),
            Self::Break(_) => f.write_str("break;"),
            Self::Continue(_) => f.write_str("continue;"),
            Self::Nothing => f.write_str(";"),
        }
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Number(value) => write!(f, "{value}"),
            Kind::Text(literal) => literal.fmt(f),
            Kind::Name(name) => f.write_str(name),
            Kind::Unary(operator, operand) => write!(f, "({}({operand}))", operator.sign()),
            Kind::Load(pointer) => write!(f, "(*({pointer}))"),
            Kind::Address(of) => write!(f, "(&{of})"),
            Kind::Binary(operator, a, b) => write!(f, "({a} {} {b})", operator.sign()),
            Kind::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                write!(f, "({condition} ? {yes} : {no})")
            }
            Kind::Assign(operator, target, value) => {
                let sign = operator.map_or("", |operator| operator.sign());
                write!(f, "({target} {sign}= {value})")
            }
            Kind::Insert(target, value) => write!(f, "({target} <- {value})"),
            Kind::Bump { target, up, before } => {
                let sign = if *up { "++" } else { "--" };
                if *before { write!(f, "({sign}{target})") } else { write!(f, "({target}{sign})") }
            }
            Kind::Index(of, keys) => write!(f, "{of}[{}]", List(keys, ", ")),
            Kind::Member { of, field, arrow } => {
                write!(f, "{of}{}{field}", if *arrow { "->" } else { "." })
            }
            Kind::Call(name, _, arguments) => write!(f, "{name}({})", List(arguments, ", ")),
            Kind::Cast(to, value) => write!(f, "(({to})({value}))"),
            Kind::SizeOfType(of) => write!(f, "(sizeof({of}))"),
            Kind::SizeOf(of) => write!(f, "(sizeof ({of}))"),
        }
    }
}
