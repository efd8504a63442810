//! Parses expressions by precedence climbing (Richards and Whitby-Strevens, BCPL, 1979).

use super::super::lexer::Token;
use super::super::tree::{BINARY, Binary, Expression, Kind, Parameter, Unary};
use super::super::vocabulary::is_keyword;
use super::{MAX_DEPTH, Parser, Result};
use crate::ir::Operator;
use crate::source::Span;

/// Compound assignments and their operators.
const ASSIGNMENTS: &[(&str, Operator)] = &[
    ("+=", Operator::Add),
    ("-=", Operator::Subtract),
    ("*=", Operator::Multiply),
    ("/=", Operator::Divide),
    ("%=", Operator::Remainder),
    ("&=", Operator::BitAnd),
    ("^=", Operator::Xor),
    ("|=", Operator::BitOr),
    ("<<=", Operator::ShiftLeft),
    (">>=", Operator::ShiftRight),
];

impl Parser<'_> {
    /// Parses any expression.
    pub(super) fn expression(&mut self) -> Result<Expression> {
        self.assignment()
    }

    fn make(&self, start: Span, kind: Kind) -> Result<Expression> {
        let expression = Expression::new(start.to(self.last()), kind);
        if expression.height > MAX_DEPTH {
            let span = expression.span;
            return self.error(span, "this expression is too long", "break it up");
        }
        Ok(expression)
    }

    pub(super) fn assignment(&mut self) -> Result<Expression> {
        let start = self.span();
        let target = self.conditional()?;
        let Some(Token::Sign(sign)) = self.peek() else { return Ok(target) };
        let sign = *sign;
        let target = Box::new(target);
        if sign == "=" {
            self.at += 1;
            let value = Box::new(self.deeper(Self::assignment)?);
            return self.make(start, Kind::Assign(None, target, value));
        }
        if sign == "<-" {
            self.at += 1;
            let value = Box::new(self.deeper(Self::assignment)?);
            return self.make(start, Kind::Insert(target, value));
        }
        if let Some((_, operator)) = ASSIGNMENTS.iter().find(|(known, _)| *known == sign) {
            self.at += 1;
            let value = Box::new(self.deeper(Self::assignment)?);
            return self.make(start, Kind::Assign(Some(Binary::Other(*operator)), target, value));
        }
        Ok(*target)
    }

    /// Parses any expression except an assignment.
    pub(super) fn conditional(&mut self) -> Result<Expression> {
        let start = self.span();
        let condition = self.binary(1)?;
        if !self.skip("?") {
            return Ok(condition);
        }
        let yes = self.deeper(Self::assignment)?;
        self.expect(":")?;
        let no = self.deeper(Self::conditional)?;
        self.make(start, Kind::Conditional(Box::new([condition, yes, no])))
    }

    fn binary(&mut self, least: u8) -> Result<Expression> {
        let start = self.span();
        let mut left = self.unary()?;
        loop {
            let Some(Token::Sign(sign)) = self.peek() else { return Ok(left) };
            let mut sign = *sign;
            if sign == "/" && self.in_predicate {
                return Ok(left);
            }
            // `a[k] <- v` inserts, but `x<-1` compares `x` with -1.
            let compares = sign == "<-" && !matches!(left.kind, Kind::Index(..));
            if compares {
                sign = "<";
            }
            let Some((_, operator, tightness)) = BINARY.iter().find(|(known, ..)| *known == sign)
            else {
                return Ok(left);
            };
            if *tightness < least {
                return Ok(left);
            }
            self.at += 1;
            let right = if compares {
                let operand = self.deeper(Self::unary)?;
                let span = operand.span;
                self.make(span, Kind::Unary(Unary::Negate, Box::new(operand)))?
            } else {
                self.deeper(|parser| parser.binary(tightness + 1))?
            };
            left = self.make(start, Kind::Binary(*operator, Box::new(left), Box::new(right)))?;
        }
    }

    /// Parses an operand with its prefix operators and casts.
    pub(super) fn unary(&mut self) -> Result<Expression> {
        let start = self.span();
        if self.is("(") && self.is_cast() {
            self.at += 1;
            let of = Box::new(self.nameless()?);
            self.expect(")")?;
            let value = Box::new(self.deeper(Self::unary)?);
            return self.make(start, Kind::Cast(of, value));
        }
        if self.skip_word("sizeof") {
            if self.is("(") && self.is_cast() {
                self.at += 1;
                let of = Box::new(self.nameless()?);
                self.expect(")")?;
                return self.make(start, Kind::SizeOfType(of));
            }
            let value = Box::new(self.deeper(Self::unary)?);
            return self.make(start, Kind::SizeOf(value));
        }
        let sign = match self.peek() {
            Some(Token::Sign(sign)) => *sign,
            _ => return self.postfix(),
        };
        let kind: fn(Box<Expression>) -> Kind = match sign {
            "!" => |a| Kind::Unary(Unary::Not, a),
            "~" => |a| Kind::Unary(Unary::Complement, a),
            "-" => |a| Kind::Unary(Unary::Negate, a),
            "+" => |a| Kind::Unary(Unary::Plus, a),
            "*" => Kind::Load,
            "&" => Kind::Address,
            "++" => |target| Kind::Bump { target, up: true, before: true },
            "--" => |target| Kind::Bump { target, up: false, before: true },
            _ => return self.postfix(),
        };
        self.at += 1;
        let operand = Box::new(self.deeper(Self::unary)?);
        self.make(start, kind(operand))
    }

    /// Whether the parenthesis here contains a type.
    fn is_cast(&mut self) -> bool {
        self.at += 1;
        let found = self.starts_type() || self.is_word("const");
        self.at -= 1;
        found
    }

    /// Parses a type with stars and without a name.
    fn nameless(&mut self) -> Result<Parameter> {
        self.skip_word("const");
        let base = self.deeper(Self::type_name)?;
        let name = self.declarator(false)?;
        Ok(Parameter { base, name })
    }

    fn postfix(&mut self) -> Result<Expression> {
        let start = self.span();
        let mut value = self.primary()?;
        loop {
            let kind = if self.skip("[") {
                let mut keys = Vec::new();
                while !self.skip("]") {
                    keys.push(self.within(Self::assignment)?);
                    if !self.skip(",") && !self.is("]") {
                        return self.unexpected("expected , or ]");
                    }
                }
                Kind::Index(Box::new(value), keys)
            } else if self.is("->") || self.is(".") {
                let arrow = self.is("->");
                self.at += 1;
                let (field, _) = self.name("expected the name of a field")?;
                Kind::Member { of: Box::new(value), field, arrow }
            } else if self.is("++") || self.is("--") {
                let up = self.is("++");
                self.at += 1;
                Kind::Bump { target: Box::new(value), up, before: false }
            } else {
                return Ok(value);
            };
            value = self.make(start, kind)?;
        }
    }

    /// Runs `inner` inside brackets, where a `/` is a division even in a predicate.
    fn within<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::take(&mut self.in_predicate);
        let result = self.deeper(inner);
        self.in_predicate = outer;
        result
    }

    fn primary(&mut self) -> Result<Expression> {
        self.refuse_keyword()?;
        let start = self.span();
        if let Some((literal, span)) = self.literal() {
            return self.make(span, Kind::Text(literal));
        }
        if self.skip("(") {
            let inner = self.within(Self::expression)?;
            self.expect(")")?;
            return Ok(Expression { span: start.to(self.last()), ..inner });
        }
        match self.peek() {
            Some(Token::Number(value)) => {
                let value = *value;
                self.at += 1;
                self.make(start, Kind::Number(value))
            }
            Some(Token::Name(name)) if !is_keyword(name) => {
                let name = name.clone();
                self.at += 1;
                if !self.skip("(") {
                    return self.make(start, Kind::Name(name));
                }
                let mut arguments = Vec::new();
                while !self.skip(")") {
                    arguments.push(self.within(Self::assignment)?);
                    if !self.skip(",") && !self.is(")") {
                        return self.unexpected("expected , or )");
                    }
                }
                self.make(start, Kind::Call(name, start, arguments))
            }
            _ => self.unexpected("expected an expression"),
        }
    }
}
