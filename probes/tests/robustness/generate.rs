//! Generates scripts from other scripts. The fuzz targets start from the same scripts.

use crate::inputs::Random;

pub(crate) const VP: &[&str] = &[
    probes::ONE_GOOD_PROBE,
    include_str!("../../../fuzz/seeds/vp/forms.vp"),
    include_str!("../../../fuzz/seeds/vp/destructive.vp"),
];

pub(crate) const EMMETT: &[&str] = &[
    include_str!("../../../fuzz/seeds/emmett/forms.emt"),
    include_str!("../../../fuzz/seeds/emmett/count.emt"),
    include_str!("../../../fuzz/seeds/emmett/destructive.emt"),
];

pub(crate) const WORDS: &[&str] = &[
    "(",
    ")",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    ",",
    "\"",
    "'",
    "\\",
    "/",
    "*",
    "&",
    "->",
    "<-",
    "++",
    "--",
    "+",
    "-",
    "=",
    "==",
    "<",
    "?",
    ":",
    "!",
    "~",
    "@",
    "#",
    "#define",
    "#include",
    "#if",
    "#else",
    "#endif",
    "\n",
    "\"%s\"",
    "\"%d\\n\"",
    "\"%-255x\"",
    "0",
    "1",
    "-1",
    "5",
    "64",
    "255",
    "1000",
    "0xffffffffffffffff",
    "18446744073709551615",
    "99999999999999999999",
    "n",
    "s",
    "a",
    "b",
    "f",
    "x",
    "VMM1Hz",
    "VMMLoad",
    "In",
    "HV_Exit",
    "GUEST:ENTER:0x10",
    "USEC:100",
    "VMM:PROFILE:1msec",
    "vprobe",
    "defun",
    "defaggr",
    "defbag",
    "definteger",
    "defstring",
    "setint",
    "setstr",
    "cond",
    "do",
    "printf",
    "sprintf",
    "aggr",
    "count",
    "hist",
    "lhist",
    "gueststack",
    "getguest",
    "getgueststr",
    "delayus",
    "setreg",
    "poke",
    "dump",
    "exit",
    "unload",
    "bag",
    "string",
    "int",
    "char",
    "struct",
    "union",
    "enum",
    "typedef",
    "const",
    "sizeof",
    "if",
    "else",
    "for",
    "try",
    "catch",
    "return",
    "break",
    "continue",
    "memmodel",
    "guest64",
    "guestphys",
    "RIP",
    "ARG0",
    "VCPUID",
    "PROBENAME",
    "NULL",
    "é",
    "\u{feff}",
    "\0",
];

/// Splits a script into words and the text between them.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for character in text.chars() {
        let is_word = character.is_alphanumeric() || character == '_';
        match words.last_mut() {
            Some(last) if is_word && before == Some(true) => last.push(character),
            _ => words.push(character.to_string()),
        }
        before = Some(is_word);
    }
    words
}

/// Builds a script from pieces of valid scripts: mostly with one change that keeps it valid,
/// sometimes with many that don't.
pub(crate) fn script(random: &mut Random, seeds: &[&str]) -> String {
    let mut text = words(random.pick(seeds));
    let edits = if random.below(4) == 0 { 1 + random.below(10) } else { 1 };
    for _ in 0..edits {
        let at = random.below(text.len());
        let end = (at + 1 + random.below(12)).min(text.len());
        match random.below(10) {
            0 => drop(text.drain(at..end)),
            1 => {
                let piece = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                text.splice(to..to, piece);
            }
            2 => text.insert(at, format!(" {} ", random.pick(WORDS))),
            3 => {
                let times = 1 << random.below(12);
                text.insert(at, random.pick(WORDS).repeat(times));
            }
            // Otherwise, replaces one word by another.
            _ => {
                let is_word = |word: &String| word.starts_with(|c: char| c.is_alphanumeric());
                let places: Vec<usize> =
                    (0..text.len()).filter(|&index| is_word(&text[index])).collect();
                let Some(&place) = places.get(random.below(places.len())) else { continue };
                text[place] = match random.below(3) {
                    0 => random.pick(WORDS).to_owned(),
                    1 => (random.next() >> random.below(64)).to_string(),
                    _ => text[places[random.below(places.len())]].clone(),
                };
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text.concat()
}
