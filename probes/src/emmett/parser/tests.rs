//! What the printer prints is parsed as the same tree again.

use proptest::prelude::*;

use super::super::lexer::Lexer;
use super::super::tree::Item;
use super::*;

/// The tree of a script without directives.
fn tree(text: &str) -> std::result::Result<Vec<Item>, String> {
    let tokens: std::result::Result<Vec<_>, _> = Lexer::new(0, text).collect();
    let tokens = tokens.map_err(|error| error.message)?;
    parse(tokens, &mut TypeNames::default()).map_err(|error| error.message)
}

fn printed(items: &[Item]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("{item}\n")).collect();
    lines.concat()
}

/// Parses a text, prints the tree, parses that text, and prints the second tree.
#[track_caller]
fn there_and_back(text: &str) {
    let first = printed(&tree(text).unwrap_or_else(|error| panic!("{error}: {text}")));
    let second = printed(&tree(&first).unwrap_or_else(|error| panic!("{error}: {first}")));
    assert_eq!(first, second, "{text}");
}

#[test]
fn every_kind_of_item_comes_back() {
    there_and_back(
        "memmodel guest32; @VMK @MEMORY_MODEL = guest64\n
         typedef unsigned long long u64, *pu64; typedef struct a { @4 int b; u64 c : 3, : 5; union { char d[2][3]; }; } A;
         enum { X, Y = 1 + 2, }; enum E e; const int K = 5; perhost aggr g[1][2]; bag h[3], i; struct a *p;
         void f(int, string s); string f2(A *a, char c[]) { return \"a\" \"b\\n\\\"\"; }
         int (*callback)(int);
         GUEST:ENTER:nt!Foo /x < 3/ { } VMM:TIMER:10msec exit(); In(int port) printf(\"%d\", port);
         VMM1Hz { int j = 0, *k; for (int l = 0; l < 3; l++) { break; } for (;;) continue; if (a) ; else if (b) {} else return;
                  try exit(); catch () { ; } }",
    );
}

/// Expressions of every kind, as text that the printer might have made.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        "[a-z][a-z0-9]{0,4}"
            .prop_filter("a name", |name| { !super::super::vocabulary::is_keyword(name) }),
        "[ -~\n\t]{0,8}".prop_map(|text| {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{}\"", escaped.replace('\n', "\\n"))
        }),
        Just("sizeof(int)".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 3, |inner| {
        let binary = proptest::sample::select(super::super::tree::BINARY.to_vec());
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (pair.clone(), binary).prop_map(|((a, b), (sign, ..))| format!("({a} {sign} {b})")),
            (pair.clone(), inner.clone()).prop_map(|((a, b), c)| format!("({a} ? {b} : {c})")),
            pair.clone().prop_map(|(a, b)| format!("({a} += {b})")),
            pair.clone().prop_map(|(a, b)| format!("x[{a}, {b}]")),
            pair.clone().prop_map(|(a, b)| format!("(x[{a}] <- {b})")),
            pair.prop_map(|(a, b)| format!("f({a}, {b})")),
            (
                inner.clone(),
                proptest::sample::select(vec!["!", "~", "-", "*", "&", "sizeof ", "++"])
            )
                .prop_map(|(a, sign)| format!("({sign}({a}))")),
            inner.clone().prop_map(|a| format!("((char *)({a}))")),
            inner.clone().prop_map(|a| format!("({a})->field")),
            inner.prop_map(|a| format!("({a})++")),
        ]
    })
}

proptest! {
    #[test]
    fn any_expression_comes_back(text in expression()) {
        there_and_back(&format!("VMM1Hz /{text}/ {{ {text}; if ({text}) return {text}; }}"));
    }
}
