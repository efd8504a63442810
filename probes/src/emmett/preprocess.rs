//! Handles `#define`, `#include` and conditions, on tokens.
//!
//! The tokens of a macro get the place where the macro is used, so that errors are shown where the
//! author of the script can correct them.

use std::collections::HashMap;
use std::path::Path;

use super::lexer::{self, Lexer, Placed, Token};
use crate::diagnostic::Diagnostic;
use crate::front::parameters::Parameters;
use crate::source::{Source, Span};

/// The most tokens after all macros are expanded. Nested macros can grow exponentially.
pub const MAX_TOKENS: usize = 200_000;
/// The deepest nesting of macros, and of included files.
const MAX_DEPTH: usize = 16;
/// The most files that scripts may include.
const MAX_FILES: usize = 64;

/// Words in the names of points, which are never replaced by macros.
const POINT_WORDS: &[&str] =
    &["ENTER", "EXIT", "OFFSET", "STEP", "READ", "WRITE", "TIMER", "PROFILE"];

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

struct Macro {
    /// The parameters; `None` for a macro without parentheses.
    parameters: Option<Vec<String>>,
    body: Vec<Placed>,
}

/// The preprocessor. Scripts that are loaded together share its macros.
pub struct Preprocessor<'a> {
    /// The values that the user sets. They replace the definitions in the scripts.
    parameters: &'a Parameters,
    macros: HashMap<String, Macro>,
    files: usize,
    /// How many tokens have been produced or expanded so far.
    count: usize,
    /// The conditions that are open, outermost first. A condition has a place, and records whether
    /// its current branch is active and whether any of its branches has been.
    conditions: Vec<Condition>,
}

struct Condition {
    span: Span,
    active: bool,
    taken: bool,
}

impl<'a> Preprocessor<'a> {
    /// A preprocessor without macros.
    pub fn new(parameters: &'a Parameters) -> Self {
        Self { parameters, macros: HashMap::new(), files: 0, count: 0, conditions: Vec::new() }
    }

    /// Carries out the directives among the tokens of source number `number`, and replaces macros.
    /// Files that the source includes are added to `sources`; their tokens are in the result.
    pub fn run(
        &mut self,
        number: u32,
        tokens: &[Placed],
        sources: &mut Vec<Source>,
    ) -> Result<Vec<Placed>> {
        let mut out = Vec::new();
        self.file(number, tokens, sources, 0, &mut out)?;
        Ok(out)
    }

    fn file(
        &mut self,
        number: u32,
        tokens: &[Placed],
        sources: &mut Vec<Source>,
        depth: usize,
        out: &mut Vec<Placed>,
    ) -> Result<()> {
        let outer = self.conditions.len();
        let mut rest = tokens;
        while let Some(((token, span), tail)) = rest.split_first() {
            rest = tail;
            if let Token::Directive(word) = token {
                let end = rest.iter().position(|(token, _)| *token == Token::EndOfDirective);
                let (line, tail) = rest.split_at(end.unwrap_or(rest.len()));
                rest = tail.get(1..).unwrap_or_default();
                self.directive(word, *span, line, (number, sources, depth), out)?;
            } else if self.is_active() {
                let used = self.token(token, *span, rest, &[], 0, out)?;
                rest = rest.get(used..).unwrap_or_default();
            }
        }
        match self.conditions.get(outer) {
            None => Ok(()),
            Some(open) => {
                Err(error(open.span, "this condition is never closed", "expected an #endif"))
            }
        }
    }

    fn is_active(&self) -> bool {
        self.conditions.iter().all(|condition| condition.active)
    }

    fn directive(
        &mut self,
        word: &str,
        span: Span,
        line: &[Placed],
        (number, sources, depth): (u32, &mut Vec<Source>, usize),
        out: &mut Vec<Placed>,
    ) -> Result<()> {
        let name = match line {
            [(Token::Name(name), _), ..] => Some(name.as_str()),
            _ => None,
        };
        let named = || {
            name.ok_or_else(|| {
                error(span, format!("#{word} lacks a name"), "expected a name behind this")
            })
        };
        match word {
            "ifdef" | "ifndef" => {
                let holds = self.is_defined(named()?, span)? == (word == "ifdef");
                self.conditions.push(Condition { span, active: holds, taken: holds });
            }
            "if" => {
                let holds = self.is_active() && self.condition(span, line)?;
                self.conditions.push(Condition { span, active: holds, taken: holds });
            }
            "elif" | "else" | "endif" => self.branch(word, span, line)?,
            _ if !self.is_active() => {}
            "define" => self.define(named()?, line)?,
            "undef" => {
                self.macros.remove(named()?);
            }
            "include" => {
                let included = self.include(number, span, line, sources, depth)?;
                let text = sources.get(included as usize).map_or("", |source| &source.text);
                let tokens = lexer::lex(included, text)?;
                self.file(included, &tokens, sources, depth + 1, out)?;
            }
            _ => return Err(error(span, "the script says #error", "it gives up here")),
        }
        Ok(())
    }

    fn branch(&mut self, word: &str, span: Span, line: &[Placed]) -> Result<()> {
        let wanted = match (word, self.conditions.last()) {
            (_, None) => {
                let problem = format!("this #{word} belongs to no condition");
                return Err(error(span, problem, "expected an #if or #ifdef before it"));
            }
            ("elif", Some(condition)) if !condition.taken => {
                let Some(mut inner) = self.conditions.pop() else { return Ok(()) };
                let holds = self.is_active() && self.condition(span, line)?;
                (inner.active, inner.taken) = (holds, holds);
                self.conditions.push(inner);
                return Ok(());
            }
            ("else", Some(condition)) => !condition.taken,
            _ => false,
        };
        if word == "endif" {
            self.conditions.pop();
        } else if let Some(condition) = self.conditions.last_mut() {
            (condition.active, condition.taken) = (wanted, true);
        }
        Ok(())
    }

    /// Evaluates the condition of an `#if`: a number, a macro that expands to one, or
    /// `defined(NAME)`, each optionally after `!`. A name that isn't a macro is 0.
    fn condition(&mut self, span: Span, line: &[Placed]) -> Result<bool> {
        let mut rest = line;
        let mut negated = false;
        while let [(Token::Sign("!"), _), tail @ ..] = rest {
            (negated, rest) = (!negated, tail);
        }
        let value = match rest {
            [
                (Token::Name(word), _),
                (Token::Sign("("), _),
                (Token::Name(name), _),
                (Token::Sign(")"), _),
            ]
            | [(Token::Name(word), _), (Token::Name(name), _)]
                if word == "defined" =>
            {
                Some(self.is_defined(name, span)?)
            }
            [(token, at)] => {
                let mut expanded = Vec::new();
                self.token(token, *at, &[], &[], 0, &mut expanded)?;
                match expanded.as_slice() {
                    [(Token::Number(value), _)] => Some(*value != 0),
                    [(Token::Name(_), _)] => Some(false),
                    _ => None,
                }
            }
            _ => None,
        };
        value.map(|value| value != negated).ok_or_else(|| {
            let label = "expected a number, a macro, defined(NAME), or one of these behind a !";
            error(span, "this condition can't be read", label)
        })
    }

    fn define(&mut self, name: &str, line: &[Placed]) -> Result<()> {
        let body = line.get(1..).unwrap_or_default();
        // Only a parenthesis directly after the name begins a list of parameters.
        let touches = match (line, body) {
            ([(_, name), ..], [(Token::Sign("("), open), ..]) => name.end == open.start,
            _ => false,
        };
        let definition = if touches {
            let close = body.iter().position(|(token, _)| *token == Token::Sign(")"));
            let Some(close) = close else {
                let span = line.first().map_or(Span::new(0, 0, 0), |(_, span)| *span);
                return Err(error(span, "this macro's parameters never end", "expected a )"));
            };
            let mut parameters = Vec::new();
            for (token, span) in body.get(1..close).unwrap_or_default() {
                match token {
                    Token::Name(name) => parameters.push(name.clone()),
                    Token::Sign(",") => {}
                    _ => return Err(error(*span, "this is no parameter", "expected a name")),
                }
            }
            let body = body.get(close + 1..).unwrap_or_default().to_vec();
            Macro { parameters: Some(parameters), body }
        } else {
            Macro { parameters: None, body: body.to_vec() }
        };
        let at = line.first().map_or(Span::new(0, 0, 0), |(_, span)| *span);
        let definition = match self.set(name, at)? {
            Some(_) if definition.parameters.is_some() => {
                let problem = format!("--set {name}: this macro has parameters");
                return Err(error(at, problem, "only one without can be set"));
            }
            Some(body) => Macro { parameters: None, body },
            None => definition,
        };
        self.macros.insert(name.to_owned(), definition);
        Ok(())
    }

    /// The value to which the user sets a macro, as tokens at the place of the script's definition.
    fn set(&self, name: &str, at: Span) -> Result<Option<Vec<Placed>>> {
        let Some(value) = self.parameters.value(name) else { return Ok(None) };
        let tokens = Lexer::new(at.source, value).map(|token| token.map(|(token, _)| (token, at)));
        let wrong = |_| {
            let problem = format!("--set {name}={value}: this is no value");
            error(at, problem, "expected a number, a name or a string for this")
        };
        tokens.collect::<Result<_>>().map(Some).map_err(wrong)
    }

    /// Whether a macro is defined. A name that the user sets counts as defined, even if no script
    /// defines it.
    fn is_defined(&mut self, name: &str, at: Span) -> Result<bool> {
        if !self.macros.contains_key(name)
            && let Some(body) = self.set(name, at)?
        {
            self.macros.insert(name.to_owned(), Macro { parameters: None, body });
        }
        Ok(self.macros.contains_key(name))
    }

    /// Replaces macros in the name of a point: each part after a colon may be a macro without
    /// parameters.
    fn point(&self, name: &str) -> String {
        let replaced = |(number, part): (usize, &str)| match self.macros.get(part) {
            Some(Macro { parameters: None, body })
                if number > 0 && !POINT_WORDS.contains(&part) =>
            {
                body.iter().map(|(token, _)| spelled(token)).collect()
            }
            _ => part.to_owned(),
        };
        name.split(':').enumerate().map(replaced).collect::<Vec<_>>().join(":")
    }

    fn include(
        &mut self,
        number: u32,
        span: Span,
        line: &[Placed],
        sources: &mut Vec<Source>,
        depth: usize,
    ) -> Result<u32> {
        let [(Token::Text(name), at)] = line else {
            return Err(error(
                span,
                "#include lacks a file",
                "expected a file name in double quotes",
            ));
        };
        self.files += 1;
        if depth >= MAX_DEPTH || self.files > MAX_FILES {
            let problem = format!("{} is included too deep, or is one file too many", name.value);
            return Err(error(*at, problem, "does it include itself?"));
        }
        let folder = sources.get(number as usize).map(|source| Path::new(&source.name));
        let folder = folder.and_then(Path::parent).unwrap_or(Path::new(""));
        let path = folder.join(&name.value);
        let text = read(&path).map_err(|problem| {
            error(*at, format!("{}: {problem}", path.display()), "expected a file beside this one")
        })?;
        sources.push(Source::new(path.display().to_string(), text));
        Ok(sources.len() as u32 - 1)
    }

    /// Appends a token or its expansion to `out`, and returns how many of the following tokens were
    /// used.
    fn token(
        &mut self,
        token: &Token,
        span: Span,
        rest: &[Placed],
        hidden: &[&str],
        depth: usize,
        out: &mut Vec<Placed>,
    ) -> Result<usize> {
        self.count += 1;
        if self.count > MAX_TOKENS {
            let problem = format!("the script has more than {MAX_TOKENS} words");
            return Err(error(span, problem, "the last one, after macros are replaced"));
        }
        let plain = |out: &mut Vec<Placed>| {
            out.push((token.clone(), span));
            Ok(0)
        };
        if let Token::Point(name) = token {
            out.push((Token::Point(self.point(name)), span));
            return Ok(0);
        }
        let Token::Name(name) = token else { return plain(out) };
        let Some(definition) = self.macros.get(name) else { return plain(out) };
        if hidden.contains(&name.as_str()) {
            return plain(out);
        }
        if depth >= MAX_DEPTH {
            return Err(error(
                span,
                format!("{name} is replaced too often"),
                "macros inside macros",
            ));
        }
        let (body, used) = match &definition.parameters {
            None => (definition.body.clone(), 0),
            Some(parameters) => {
                if !matches!(rest.first(), Some((Token::Sign("("), _))) {
                    return plain(out);
                }
                let (arguments, used) = arguments(name, span, rest)?;
                let empty = parameters.is_empty() && arguments.iter().all(Vec::is_empty);
                if arguments.len() != parameters.len() && !empty {
                    let problem = format!(
                        "{name} takes {} arguments, and {} are given",
                        parameters.len(),
                        arguments.len()
                    );
                    return Err(error(span, problem, "expected as many as it has parameters"));
                }
                // Arguments are expanded first, so that a macro may be used inside its own
                // argument.
                let (parameters, definition) = (parameters.clone(), definition.body.clone());
                let mut expanded = Vec::with_capacity(arguments.len());
                for argument in &arguments {
                    let mut tokens = Vec::new();
                    self.tokens(argument, None, hidden, depth + 1, &mut tokens)?;
                    expanded.push(tokens);
                }
                (replaced(&definition, &parameters, &expanded)?, used)
            }
        };
        self.count += body.len();
        let mut hidden = hidden.to_vec();
        hidden.push(name);
        self.tokens(&body, Some(span), &hidden, depth + 1, out)?;
        Ok(used)
    }

    /// Appends tokens or their expansions to `out`: all at the place `at` if it is given, else each
    /// at its own place.
    fn tokens(
        &mut self,
        tokens: &[Placed],
        at: Option<Span>,
        hidden: &[&str],
        depth: usize,
        out: &mut Vec<Placed>,
    ) -> Result<()> {
        let mut rest = tokens;
        while let Some(((token, span), tail)) = rest.split_first() {
            let used = self.token(token, at.unwrap_or(*span), tail, hidden, depth, out)?;
            rest = tail.get(used..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The body of a macro with its parameters replaced by the arguments.
fn replaced(
    definition: &[Placed],
    parameters: &[String],
    arguments: &[Vec<Placed>],
) -> Result<Vec<Placed>> {
    let mut body = Vec::new();
    for placed in definition {
        let parameter = match &placed.0 {
            Token::Name(name) => parameters.iter().position(|parameter| parameter == name),
            _ => None,
        };
        match parameter.and_then(|index| arguments.get(index)) {
            Some(argument) => body.extend_from_slice(argument),
            None => body.push(placed.clone()),
        }
        if body.len() > MAX_TOKENS {
            let problem = format!("a macro grows beyond {MAX_TOKENS} words");
            return Err(error(placed.1, problem, "defined here"));
        }
    }
    Ok(body)
}

/// The text of a token as a part of a point's name.
fn spelled(token: &Token) -> String {
    match token {
        Token::Name(name) | Token::Point(name) => name.clone(),
        Token::Number(number) => format!("{number:#x}"),
        Token::Text(text) => text.value.clone(),
        Token::Sign(sign) => (*sign).to_owned(),
        Token::Directive(_) | Token::EndOfDirective => String::new(),
    }
}

/// The arguments between parentheses, and the number of tokens up to and including the closing
/// parenthesis.
fn arguments(name: &str, span: Span, rest: &[Placed]) -> Result<(Vec<Vec<Placed>>, usize)> {
    let mut arguments = vec![Vec::new()];
    let mut depth = 0;
    for (used, placed) in rest.iter().enumerate() {
        match &placed.0 {
            Token::Sign(")") if depth == 1 => return Ok((arguments, used + 1)),
            Token::Sign(",") if depth == 1 => {
                arguments.push(Vec::new());
                continue;
            }
            Token::Sign("(" | "[" | "{") => depth += 1,
            Token::Sign(")" | "]" | "}") => depth -= 1,
            _ => {}
        }
        // The opening parenthesis doesn't belong to the first argument.
        if used > 0
            && let Some(argument) = arguments.last_mut()
        {
            argument.push(placed.clone());
        }
    }
    Err(error(span, format!("the arguments of {name} never end"), "expected a ) behind this"))
}

/// Reads a regular file that is not larger than a script may be.
fn read(path: &Path) -> std::result::Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("not a file".into());
    }
    if about.len() > Source::MAX_BYTES as u64 {
        return Err(format!("at most {} bytes are read", Source::MAX_BYTES));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn error(span: Span, message: impl Into<String>, label: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(span, message, label))
}
