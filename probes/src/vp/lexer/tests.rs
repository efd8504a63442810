use super::*;

fn tokens(text: &str) -> Vec<Token> {
    Lexer::new(0, text).map(|token| token.expect("a token").0).collect()
}

#[test]
fn a_byte_order_mark_is_no_name() {
    assert_eq!(tokens("\u{feff}("), [Token::Open]);
}

#[test]
fn a_strings_bytes_know_where_they_come_from() {
    let Some(Ok((Token::Literal(literal), span))) = Lexer::new(3, r#" "é\nx""#).next() else {
        panic!("a string");
    };
    assert_eq!(span, Span::new(3, 1, 8));
    // é has two bytes at 2, \n is at 4, x at 6, the closing quote at 7.
    assert_eq!(literal.offsets, [2, 2, 4, 6, 7]);
    assert_eq!(literal.span(3, 2, 3), Span::new(3, 4, 6));
    assert_eq!(literal.span(3, 3, 4), Span::new(3, 6, 7));
    assert_eq!(literal.span(3, 9, 12), Span::new(3, 7, 7));
}

fn error(text: &str) -> (String, Option<Span>) {
    let error = Lexer::new(0, text).find_map(Result::err).expect("an error");
    (error.message, error.span)
}

#[test]
fn an_open_string_is_reported_where_it_begins() {
    let expected = ("this string is never closed".into(), Some(Span::new(0, 2, 3)));
    assert_eq!(error("a \"b"), expected);
    assert_eq!(error("a \"b\\"), expected);
}

#[test]
fn names_have_63_bytes() {
    assert_eq!(tokens(&"x".repeat(63)).len(), 1);
    assert_eq!(error(&"x".repeat(64)).0, "this name has 64 bytes");
}

#[test]
fn control_characters_are_named() {
    assert_eq!(error("a\0b").0, "unexpected control character \\u{0}");
}
