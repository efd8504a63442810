//! The words of Emmett that are not functions.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that can begin a type.
pub const TYPES: &[&str] = &[
    "void", "char", "short", "int", "long", "unsigned", "signed", "int8", "int16", "int32",
    "int64", "uint8", "uint16", "uint32", "uint64", "int8_t", "int16_t", "int32_t", "int64_t",
    "uint8_t", "uint16_t", "uint32_t", "uint64_t", "string", "bag", "aggr", "struct", "union",
    "enum",
];

/// Words that can precede a type.
pub const PREFIXES: &[&str] = &["typedef", "const", "perthread", "pervm", "pervmk", "perhost"];

/// Words of statements, `sizeof` and `memmodel`.
pub const STATEMENTS: &[&str] =
    &["if", "else", "for", "try", "catch", "return", "break", "continue", "sizeof", "memmodel"];

/// Words of C that Emmett refuses, with advice.
pub const REFUSED: &[(&str, &str)] = &[
    ("do", "write a for loop"),
    ("while", "write a for loop: for (; condition; )"),
    ("switch", "write if and else"),
    ("case", "write if and else"),
    ("default", "write if and else"),
    ("goto", "write a for loop or a function"),
    ("float", "there are only integers"),
    ("double", "there are only integers"),
    ("static", "variables outside functions keep their values"),
    ("extern", "&name is the address of a symbol of the guest"),
    ("register", "leave it out"),
    ("auto", "leave it out"),
    ("bool", "write int"),
    ("volatile", "leave it out: memory is read each time"),
    ("pervcpu", "perthread is one for each vCPU"),
];

/// Every word of Emmett that can't be a name.
pub fn keywords() -> impl Iterator<Item = &'static str> {
    TYPES.iter().chain(PREFIXES).chain(STATEMENTS).copied()
}

/// Whether a word can't be a name, because Emmett uses or refuses it.
pub fn is_keyword(word: &str) -> bool {
    static KEYWORDS: LazyLock<HashSet<&str>> =
        LazyLock::new(|| keywords().chain(REFUSED.iter().map(|(word, _)| *word)).collect());
    KEYWORDS.contains(word)
}

/// Advice about a word of C that Emmett refuses; `None` for any other word.
pub fn refused(word: &str) -> Option<&'static str> {
    // A quick check first, since nearly all words are ordinary names.
    if !is_keyword(word) {
        return None;
    }
    REFUSED.iter().find(|(refused, _)| *refused == word).map(|(_, instead)| *instead)
}

/// The memory models; `None` for those of hypervisor memory, which doesn't exist here.
pub const MODELS: &[(&str, Option<super::types::Model>)] = {
    use super::types::Model;
    &[
        ("guest64", Some(Model::Guest64)),
        ("guest32", Some(Model::Guest32)),
        ("guest16", Some(Model::Guest16)),
        ("guestphys", Some(Model::Physical)),
        ("vmw64", None),
        ("vmw32", None),
    ]
};
