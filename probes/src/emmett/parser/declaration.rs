//! Parses types, variables and functions.

use super::super::lexer::Token;
use super::super::tree::{
    Declaration, Declarator, Function, IntegerName, Item, Parameter, TypeName,
};
use super::super::vocabulary::{PREFIXES, TYPES, is_keyword, refused};
use super::{Parser, Result};
use crate::source::Span;

/// The most stars of a type.
const MAX_POINTERS: u8 = 8;

impl Parser<'_> {
    /// Whether a type begins here.
    pub(super) fn starts_type(&self) -> bool {
        match self.peek() {
            Some(Token::Name(name)) => TYPES.contains(&name.as_str()) || self.names.contains(name),
            _ => false,
        }
    }

    /// Whether a declaration begins here.
    pub(super) fn starts_declaration(&self) -> bool {
        match self.peek() {
            Some(Token::Name(name)) if PREFIXES.contains(&name.as_str()) => true,
            // The name of a type may also be that of a point or a variable. The next token decides.
            Some(Token::Name(name)) if self.names.contains(name) => {
                matches!(self.peek_at(1), Some(Token::Name(_) | Token::Sign("*")))
            }
            _ => self.starts_type(),
        }
    }

    /// Parses the type before the names.
    pub(super) fn type_name(&mut self) -> Result<TypeName> {
        let (word, span) = self.name("expected a type")?;
        Ok(match word.as_str() {
            "void" => TypeName::Void,
            "string" => TypeName::Str,
            "bag" => TypeName::Bag,
            "aggr" => TypeName::Aggregate,
            "struct" | "union" => self.record(word == "union", span)?,
            "enum" => self.enumeration()?,
            "char" | "short" | "int" | "long" | "unsigned" | "signed" => {
                TypeName::Integer(self.integer(&word))
            }
            "int8" | "uint8" | "int8_t" | "uint8_t" => TypeName::Integer(IntegerName::Sized(1)),
            "int16" | "uint16" | "int16_t" | "uint16_t" => TypeName::Integer(IntegerName::Sized(2)),
            "int32" | "uint32" | "int32_t" | "uint32_t" => TypeName::Integer(IntegerName::Sized(4)),
            "int64" | "uint64" | "int64_t" | "uint64_t" => TypeName::Integer(IntegerName::Sized(8)),
            _ if self.names.contains(&word) => TypeName::Named(word, span),
            _ => {
                self.at -= 1;
                return self.unexpected("expected a type");
            }
        })
    }

    /// Parses the rest of an integer type: words such as `unsigned long long int`, in any order.
    fn integer(&mut self, first: &str) -> IntegerName {
        let (mut short, mut longs, mut char) = (false, 0, false);
        let mut count = |word: &str| match word {
            "char" => char = true,
            "short" => short = true,
            "long" => longs += 1,
            _ => {}
        };
        count(first);
        while let Some(Token::Name(word)) = self.peek() {
            if !matches!(word.as_str(), "char" | "short" | "int" | "long" | "unsigned" | "signed") {
                break;
            }
            count(word);
            self.at += 1;
        }
        match (char, short, longs) {
            (true, ..) => IntegerName::Sized(1),
            (_, true, _) => IntegerName::Sized(2),
            (.., 0) => IntegerName::Int,
            (.., 1) => IntegerName::Long,
            _ => IntegerName::Sized(8),
        }
    }

    fn record(&mut self, is_union: bool, start: Span) -> Result<TypeName> {
        let tag = match self.peek() {
            Some(Token::Name(_)) => Some(self.name("expected a name")?.0),
            _ => None,
        };
        let mut fields = None;
        if self.skip("{") {
            let list = self.deeper(|parser| {
                let mut list = Vec::new();
                while !parser.skip("}") {
                    if !parser.skip(";") {
                        list.push(parser.field()?);
                    }
                }
                Ok(list)
            })?;
            fields = Some(list);
        } else if tag.is_none() {
            return self.unexpected("expected a name or { behind struct or union");
        }
        Ok(TypeName::Record { is_union, tag, fields, span: start.to(self.last()) })
    }

    /// Parses a field of a structure, such as `@0x10 int pid;`.
    fn field(&mut self) -> Result<Declaration> {
        let mut offset = None;
        if self.skip("@") {
            offset = Some(self.unary()?);
        }
        if !self.starts_type() && !self.is_word("const") {
            return self.unexpected("expected a field such as int pid;");
        }
        let mut declaration = self.declaration()?;
        if let (Some(offset), Some(first)) = (offset, declaration.names.first_mut()) {
            first.offset = Some(offset);
        }
        Ok(declaration)
    }

    fn enumeration(&mut self) -> Result<TypeName> {
        if let Some(Token::Name(_)) = self.peek() {
            self.at += 1;
        }
        if !self.skip("{") {
            return Ok(TypeName::Enumeration(None));
        }
        let mut constants = Vec::new();
        while !self.skip("}") {
            let (name, span) = self.name("expected the name of a constant")?;
            let value = if self.skip("=") { Some(self.conditional()?) } else { None };
            constants.push((name, span, value));
            if !self.skip(",") && !self.is("}") {
                return self.unexpected("expected , or }");
            }
        }
        Ok(TypeName::Enumeration(Some(constants)))
    }

    /// Parses a name with its stars and brackets. In a cast or a prototype the name may be missing.
    pub(super) fn declarator(&mut self, needs_name: bool) -> Result<Declarator> {
        let mut pointers = 0;
        loop {
            if self.skip("*") {
                pointers += 1;
            } else if !self.skip_word("const") {
                break;
            }
            if pointers > MAX_POINTERS {
                return self.error(self.last(), "too many stars", "at most 8");
            }
        }
        // A pointer to a function is treated as a plain address.
        let is_function = self.is("(") && matches!(self.peek_at(1), Some(Token::Sign("*")));
        if is_function {
            (self.at, pointers) = (self.at + 2, pointers + 1);
        }
        let span = self.span();
        let name = match self.peek() {
            Some(Token::Name(name)) if !is_keyword(name) => {
                let name = name.clone();
                self.at += 1;
                name
            }
            Some(Token::Name(word)) if needs_name => {
                let problem = format!("{word} can't be a name");
                return self.error(span, problem, "expected another name");
            }
            _ if needs_name => return self.unexpected("expected a name"),
            _ => String::new(),
        };
        let mut declarator = Declarator {
            name,
            span,
            pointers,
            dimensions: Vec::new(),
            value: None,
            offset: None,
            bits: None,
        };
        if is_function {
            self.expect(")")?;
            self.parameters()?;
        }
        while self.skip("[") {
            if declarator.dimensions.len() >= 4 {
                return self.error(self.last(), "too many dimensions", "at most 4");
            }
            let size = if self.is("]") { None } else { Some(self.conditional()?) };
            declarator.dimensions.push(size);
            self.expect("]")?;
        }
        Ok(declarator)
    }

    /// Parses a type and its names, up to the semicolon.
    pub(super) fn declaration(&mut self) -> Result<Declaration> {
        let start = self.span();
        let (mut is_typedef, mut is_constant, mut storage) = (false, false, None);
        while let Some((Token::Name(word), span)) = self.tokens.get(self.at) {
            match word.as_str() {
                "typedef" => is_typedef = true,
                "const" => is_constant = true,
                "perthread" | "pervm" | "pervmk" | "perhost" => {
                    storage = Some((word.clone(), *span));
                }
                _ => break,
            }
            self.at += 1;
        }
        let base = self.deeper(Self::type_name)?;
        is_constant |= self.skip_word("const");
        let mut names = Vec::new();
        while !self.is(";") {
            // A bit-field may have no name.
            let mut declarator = self.declarator(!self.is(":"))?;
            if self.skip("@") {
                declarator.offset = Some(self.unary()?);
            }
            if self.skip(":") {
                declarator.bits = Some(self.conditional()?);
            }
            if self.skip("=") {
                declarator.value = Some(self.assignment()?);
            }
            if is_typedef {
                self.names.insert(declarator.name.clone());
            }
            names.push(declarator);
            if !self.skip(",") {
                break;
            }
        }
        self.expect(";")?;
        let span = start.to(self.last());
        Ok(Declaration { is_typedef, is_constant, storage, base, names, span })
    }

    /// Parses an item that begins with a type, outside functions.
    pub(super) fn declaration_or_function(&mut self) -> Result<Item> {
        let start = self.at;
        if !matches!(self.peek(), Some(Token::Name(word)) if PREFIXES.contains(&word.as_str())) {
            let result = self.deeper(Self::type_name)?;
            let is_name = |token: Option<&Token>| matches!(token, Some(Token::Name(_)));
            let stars = (0..=usize::from(MAX_POINTERS))
                .take_while(|&at| self.peek_at(at) == Some(&Token::Sign("*")))
                .count();
            if is_name(self.peek_at(stars)) && self.peek_at(stars + 1) == Some(&Token::Sign("(")) {
                let name = self.declarator(true)?;
                return self.function(result, name).map(Item::Function);
            }
            self.at = start;
        }
        self.declaration().map(Item::Declaration)
    }

    fn function(&mut self, result: TypeName, name: Declarator) -> Result<Function> {
        let parameters = self.parameters()?;
        if self.skip(";") {
            return Ok(Function { result, name, parameters, body: None });
        }
        let body = Some(self.block()?);
        Ok(Function { result, name, parameters, body })
    }

    /// Parses parameters, such as `(int a, string b)`.
    pub(super) fn parameters(&mut self) -> Result<Vec<Parameter>> {
        self.expect("(")?;
        let mut parameters = Vec::new();
        if self.is_word("void") && self.peek_at(1) == Some(&Token::Sign(")")) {
            self.at += 1;
        }
        while !self.skip(")") {
            self.skip_word("const");
            if !self.starts_type() {
                return self.unexpected("expected a parameter such as int number");
            }
            let base = self.deeper(Self::type_name)?;
            let name = self.deeper(|parser| parser.declarator(false))?;
            parameters.push(Parameter { base, name });
            if !self.skip(",") && !self.is(")") {
                return self.unexpected("expected , or )");
            }
        }
        Ok(parameters)
    }

    /// Refuses keywords of C that Emmett doesn't have.
    pub(super) fn refuse_keyword(&self) -> Result<()> {
        let Some(Token::Name(word)) = self.peek() else { return Ok(()) };
        let Some(instead) = refused(word) else { return Ok(()) };
        let message = format!("Keyword not supported: {word}");
        self.error(self.span(), message, instead)
    }
}
