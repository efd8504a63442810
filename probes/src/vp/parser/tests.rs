use super::super::lexer;
use super::*;

fn read(text: &str) -> Result<Vec<Node>, Box<Diagnostic>> {
    parse(lexer::lex(0, text))
}

fn numbers(text: &str) -> Vec<Option<u64>> {
    let nodes = read(text).expect("a tree");
    let number = |node: &Node| match node.kind {
        NodeKind::Integer(value) => Some(value),
        _ => None,
    };
    nodes.iter().map(number).collect()
}

#[test]
fn integers() {
    assert_eq!(
        numbers("0 17 +17 -1 0x1F -0x10 18446744073709551615 0XfF 007"),
        [0, 17, 17, u64::MAX, 31, -16_i64 as u64, u64::MAX, 255, 7].map(Some)
    );
}

#[test]
fn what_is_no_integer_is_a_word() {
    let text = "1.0 18446744073709551616 0x 0xg +-1 --1 - + 1e5 abc add -0x8000000000000001";
    assert!(numbers(text).iter().all(Option::is_none));
    for (word, expected) in [("1.0", true), ("-5x", true), ("-", false), ("a1", false)] {
        assert_eq!(looks_like_number(word), expected, "{word}");
    }
}

#[test]
fn lists_know_where_they_begin_and_end() {
    let nodes = read(" (a (b) )").expect("a tree");
    assert_eq!(nodes[0].span, Span::new(0, 1, 9));
    let NodeKind::List(list) = &nodes[0].kind else { panic!("a list") };
    assert_eq!(list[1].span, Span::new(0, 4, 7));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "(".repeat(depth) + &")".repeat(depth);
    assert!(read(&nested(MAX_DEPTH)).is_ok());
    let error = read(&nested(MAX_DEPTH + 1)).expect_err("too deep");
    assert_eq!(error.message, "lists are nested too deep");
}

/// The contents of a node, without its place.
fn shape(node: &Node) -> String {
    match &node.kind {
        NodeKind::Integer(value) => format!("{value}"),
        NodeKind::Word(word) => format!("w{word}"),
        NodeKind::Literal(literal) => format!("{:?}", literal.value),
        NodeKind::List(list) => format!("{:?}", list.iter().map(shape).collect::<Vec<_>>()),
    }
}

fn node() -> impl proptest::strategy::Strategy<Value = Node> {
    use proptest::prelude::*;
    let make = |kind| Node { span: crate::source::Span::new(0, 0, 0), kind };
    let leaf = prop_oneof![
        any::<u64>().prop_map(NodeKind::Integer),
        "[a-zA-Z~_:+*/<=!|&^%-][a-zA-Z0-9~_:.-]{0,6}"
            .prop_filter("no number", |word| integer(word).is_none())
            .prop_map(NodeKind::Word),
        "[^\\x00-\\x08\\x0b-\\x1f\\x7f]{0,8}".prop_map(|value| {
            NodeKind::Literal(crate::source::Literal { value, offsets: Vec::new() })
        }),
    ];
    leaf.prop_map(make).prop_recursive(5, 40, 5, move |inner| {
        proptest::collection::vec(inner, 0..5).prop_map(NodeKind::List).prop_map(make)
    })
}

proptest::proptest! {
    #[test]
    fn any_tree_comes_back(tree in node()) {
        let text = tree.to_string();
        let nodes = read(&text).unwrap_or_else(|error| panic!("{}: {text}", error.message));
        let found: Vec<String> = nodes.iter().map(shape).collect();
        assert_eq!(found, [shape(&tree)], "{text}");
    }
}
