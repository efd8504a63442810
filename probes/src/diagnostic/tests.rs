use super::*;
use crate::{ONE_GOOD_PROBE, Options, Script};

fn rendered(text: &str) -> String {
    match Script::load(&[Source::new("bad.vp", text)], &Options::default()) {
        Ok(script) => script.warnings().render(Style::Ascii),
        Err(diagnostics) => diagnostics.render(Style::Ascii),
    }
}

#[track_caller]
fn golden(text: &str, expected: &str) {
    let found = rendered(text);
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}

#[test]
fn the_lost_backslash() {
    golden(
        ONE_GOOD_PROBE,
        r#"Warning: line 4: the last n of this format is taken as a newline
   ,-[ bad.vp:4:34 ]
   |
 4 |       (printf "CPUD: %d Stack: %sn" VCPUID stack))
   |                                  |
   |                                  `-- a backslash seems to have got lost here
   |
   | Help: write \n; with --strict-vp it stays an n
---'
"#,
    );
}

#[test]
fn errors_come_in_the_order_of_the_script() {
    golden(
        "(defstring stack)\n(vprobe VMM1hz\n  (guestack stack)\n  (printf \"é %d\\n\" stakc))\n",
        r#"Error: unknown probe point VMM1hz
   ,-[ bad.vp:2:9 ]
   |
 2 | (vprobe VMM1hz
   |         ^^^|^^
   |            `---- expected a probe point such as VMM1Hz, VMM:TIMER:10msec or In
   |
   | Help: did you mean VMM1Hz?
---'

Error: unknown ident guestack
   ,-[ bad.vp:3:4 ]
   |
 3 |   (guestack stack)
   |    ^^^^|^^^
   |        `----- expected a form, function or operator
   |
   | Help: did you mean gueststack?
---'

Error: unknown ident stakc
   ,-[ bad.vp:4:20 ]
   |
 4 |   (printf "é %d\n" stakc))
   |                    ^^|^^
   |                      `---- expected a variable
   |
   | Help: did you mean stack?
---'
"#,
    );
}

#[test]
fn two_places_of_one_error() {
    golden(
        "(definteger a)\n(defstring a)\n(vprobe VMM1Hz 0)",
        r"Error: a is defined twice
   ,-[ bad.vp:2:12 ]
   |
 1 | (definteger a)
   |             |
   |             `-- first here
 2 | (defstring a)
   |            |
   |            `-- here again
---'
",
    );
}

#[test]
fn a_conversion_and_its_argument() {
    golden(
        "(vprobe VMM1Hz\n\t(printf \"é%s\\n\" VCPUID))",
        r#"Error: this is an integer
   ,-[ bad.vp:2:18 ]
   |
 2 |     (printf "é%s\n" VCPUID))
   |               ^|    ^^^|^^
   |                `------------ because this prints a string
   |                        |
   |                        `---- expected a string
---'
"#,
    );
}

#[test]
fn a_parenthesis_that_is_never_closed() {
    golden(
        "(vprobe VMM1Hz\n  (printf \"%d\\n\" VCPUID",
        r#"Error: this parenthesis is never closed
   ,-[ bad.vp:2:3 ]
   |
 2 |   (printf "%d\n" VCPUID
   |   |                    |
   |   `---------------------- expected ) before the end of the script
   |                        |
   |                        `- the script ends here
---'
"#,
    );
}

#[test]
fn an_error_without_a_place() {
    golden(
        "",
        r#"Error: there is no probe in this script, so nothing would ever run
  Help: add a probe such as VMM1Hz printf("%d\n", VCPUID);
"#,
    );
}

#[test]
fn colour_only_where_it_is_asked_for() {
    let error = Script::load(&[Source::new("bad.vp", "(x)")], &Options::default());
    let error = error.expect_err("bad");
    assert!(error.render(Style::Colour).contains('\u{1b}'));
    assert!(!error.render(Style::Unicode).contains('\u{1b}'));
    assert!(error.render(Style::Unicode).contains('─'));
    assert!(error.to_string().is_ascii());
}
