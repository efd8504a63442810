//! Parses statements.

use super::super::lexer::Token;
use super::super::tree::Statement;
use super::{Parser, Result};

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement> {
        self.deeper(Self::statement_here)
    }

    /// `{ ... }`
    pub(super) fn block(&mut self) -> Result<Vec<Statement>> {
        let open = self.span();
        self.expect("{")?;
        let mut statements = Vec::new();
        while !self.skip("}") {
            if self.peek().is_none() {
                return self.error(open, "this brace is never closed", "expected a } behind this");
            }
            statements.push(self.statement()?);
        }
        Ok(statements)
    }

    fn statement_here(&mut self) -> Result<Statement> {
        self.refuse_keyword()?;
        if self.is("{") {
            return self.block().map(Statement::Block);
        }
        if self.skip(";") {
            return Ok(Statement::Nothing);
        }
        if self.starts_declaration() {
            return self.declaration().map(Statement::Declaration);
        }
        let span = self.span();
        let word = match self.peek() {
            Some(Token::Name(word)) => word.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "if" => self.condition(),
            "for" => self.for_loop(),
            "try" => {
                self.at += 1;
                let body = self.statement()?;
                if !self.skip_word("catch") {
                    return self.unexpected("expected catch behind try");
                }
                if self.skip("(") {
                    self.expect(")")?;
                }
                Ok(Statement::Try(Box::new(body), Box::new(self.statement()?)))
            }
            "return" => {
                self.at += 1;
                let value = if self.is(";") { None } else { Some(self.expression()?) };
                self.expect(";")?;
                Ok(Statement::Return(value, span.to(self.last())))
            }
            "break" | "continue" => {
                self.at += 1;
                self.expect(";")?;
                let is_break = word == "break";
                Ok(if is_break { Statement::Break(span) } else { Statement::Continue(span) })
            }
            "else" | "catch" => {
                let before = if word == "else" { "if" } else { "try" };
                self.error(span, format!("this {word} has no {before}"), "expected a statement")
            }
            _ => {
                let expression = self.expression()?;
                self.expect(";")?;
                Ok(Statement::Expression(expression))
            }
        }
    }

    fn condition(&mut self) -> Result<Statement> {
        self.at += 1;
        self.expect("(")?;
        let condition = self.expression()?;
        self.expect(")")?;
        let yes = self.statement()?;
        let no = if self.skip_word("else") { Some(Box::new(self.statement()?)) } else { None };
        Ok(Statement::If(condition, Box::new(yes), no))
    }

    fn for_loop(&mut self) -> Result<Statement> {
        self.at += 1;
        self.expect("(")?;
        let start = if self.skip(";") {
            None
        } else if self.starts_declaration() {
            Some(Box::new(Statement::Declaration(self.declaration()?)))
        } else {
            let expression = self.expression()?;
            self.expect(";")?;
            Some(Box::new(Statement::Expression(expression)))
        };
        let condition = if self.is(";") { None } else { Some(self.expression()?) };
        self.expect(";")?;
        let step = if self.is(")") { None } else { Some(self.expression()?) };
        self.expect(")")?;
        let body = Box::new(self.statement()?);
        Ok(Statement::For { start, condition, step, body })
    }
}
