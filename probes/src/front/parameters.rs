//! `--set NAME=VALUE`: values that replace those of macros, constants and variables in a script, so
//! that users don't have to edit the script.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use inspect::suggest::nearest;

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::text::Text;

/// The values for one load of scripts.
#[derive(Debug, Default)]
pub struct Parameters {
    list: Vec<Parameter>,
    /// The names that scripts define, which the user could have set.
    known: RefCell<BTreeSet<String>>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    value: String,
    used: Cell<bool>,
}

impl Parameters {
    /// Names and their values. If a name occurs more than once, its last value is used.
    pub fn new(given: &[(String, String)]) -> Self {
        let parameter = |(name, value): &(String, String)| Parameter {
            name: name.clone(),
            value: value.clone(),
            used: Cell::new(false),
        };
        Self { list: given.iter().map(parameter).collect(), known: RefCell::default() }
    }

    /// The value for a name that a script defines, if the user set one.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.known.borrow_mut().insert(name.to_owned());
        let given = self.list.iter().filter(|parameter| parameter.name == name);
        given.inspect(|parameter| parameter.used.set(true)).last().map(|p| p.value.as_str())
    }

    /// The value for an integer that a script defines at `span`.
    pub(crate) fn integer(&self, name: &str, span: Span) -> Result<Option<u64>, Box<Diagnostic>> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let number = match hex {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        match number {
            Ok(number) if negative => Ok(Some(number.wrapping_neg())),
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(refused(name, text, span, "an integer", "decimal or with 0x")),
        }
    }

    /// The value for a string that a script defines at `span`.
    pub(crate) fn text(&self, name: &str, span: Span) -> Result<Option<Text>, Box<Diagnostic>> {
        match self.value(name) {
            Some(text) if text.len() > Text::MAX => {
                Err(refused(name, text, span, "a string", "of at most 255 bytes"))
            }
            text => Ok(text.map(|text| Text::from(text.as_bytes()))),
        }
    }

    /// An error for each name that the user set and no script defines.
    pub(crate) fn unused(&self) -> impl Iterator<Item = Diagnostic> {
        self.list.iter().filter(|parameter| !parameter.used.get()).map(|parameter| {
            let name = &parameter.name;
            let known = self.known.borrow();
            let near = nearest(name, known.iter().map(String::as_str));
            let problem = format!(
                "--set {name}: no script has a macro, a constant or a variable of this name outside \
                 its functions and probes"
            );
            Diagnostic::general(problem).suggesting(near)
        })
    }
}

/// The error about a value that doesn't fit a name.
fn refused(name: &str, text: &str, span: Span, what: &str, form: &str) -> Box<Diagnostic> {
    let problem = format!("--set {name}={text}: {name} is {what}");
    Box::new(Diagnostic::error(span, problem, format!("expected a value {form} for this")))
}
