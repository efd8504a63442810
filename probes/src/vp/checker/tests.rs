use proptest::prelude::*;

use crate::diagnostic::Severity;
use crate::testing::{Bench, load, load_with};
use crate::{Diagnostics, ONE_GOOD_PROBE, Options, Script, Source, Style};

fn refused(text: &str) -> Diagnostics {
    let options = Options::default();
    match Script::load(&[Source::new("t.vp", text)], &options) {
        Ok(_) => panic!("accepted: {text}"),
        Err(diagnostics) => diagnostics,
    }
}

/// The message, `line:column`, label and help of the only error in a probe's body.
fn body_error(body: &str) -> (String, String, String, String) {
    let text = format!("(definteger n)\n(defstring s)\n(vprobe VMM1Hz\n{body})");
    let diagnostics = refused(&text);
    let list: Vec<_> = diagnostics.iter().collect();
    assert_eq!(list.len(), 1, "{diagnostics}");
    let location = diagnostics.location(list[0]).expect("a place");
    (
        list[0].message.clone(),
        format!("{}:{}", location.line, location.column),
        list[0].label.clone(),
        list[0].help.clone().unwrap_or_default(),
    )
}

#[test]
fn errors_in_expressions() {
    for (body, message, place, label) in [
        ("(setint n s)", "this is a string", "4:11", "expected an integer"),
        ("(setint s 1)", "this is a string", "4:9", "expected an integer variable"),
        ("(setstr s 1)", "this is an integer", "4:11", "expected a string"),
        ("(setstr n \"\")", "this is an integer", "4:9", "expected a string variable"),
        (
            "(setint RIP 1)",
            "RIP is built in and can't be assigned to",
            "4:9",
            "expected an integer variable",
        ),
        ("(setint 5 1)", "this can't be assigned to", "4:9", "expected an integer variable"),
        ("(setint n)", "setint has 1 argument", "4:1", "expected an integer variable and a value"),
        (
            "(gueststack n)",
            "this is an integer",
            "4:13",
            "expected a string variable that takes the stack",
        ),
        ("(gueststack)", "gueststack has no arguments", "4:1", "expected a string variable"),
        ("(+ 1 \"x\")", "this is a string", "4:6", "expected an integer"),
        ("(+ 1)", "+ has 1 argument", "4:1", "expected two integers or more"),
        ("(-)", "- has no arguments", "4:1", "expected an integer"),
        ("(! 1 2)", "! has 2 arguments", "4:1", "expected one integer"),
        ("(== s n)", "this is a string", "4:5", "expected an integer"),
        ("(cond)", "cond has no arguments", "4:1", "expected at least one (condition expression)"),
        ("(cond 1)", "cond takes lists", "4:7", "expected (condition expression)"),
        (
            "(cond (1 2 3))",
            "this arm of a cond has 3 parts",
            "4:7",
            "expected (condition expression)",
        ),
        (
            "(+ 1 (cond (1 2) (1 s)))",
            "this cond yields an integer in one arm and a string in another",
            "4:18",
            "expected the same type as in the arms before",
        ),
        ("(do)", "do has no arguments", "4:1", "expected at least one expression"),
        ("()", "this list is empty", "4:1", "expected a form, function or operator"),
        (
            "(5 1)",
            "a number can't stand first in a list",
            "4:2",
            "expected a form, function or operator",
        ),
        (
            "(s 1)",
            "s is a variable, so it can't be called",
            "4:2",
            "expected a form, function or operator",
        ),
        ("(defstring t)", "defstring can't stand inside a probe", "4:2", "expected an expression"),
        ("1.0", "1.0 is no number", "4:1", "expected a 64-bit integer, decimal or with 0x"),
        ("printf", "printf is no variable", "4:1", "expected a value"),
        (
            "VMCS_EXIT_REASON",
            "variable VMCS_EXIT_REASON is not available: KVM doesn't show the VMCS or VMCB to user space; EXITNAME says why it exited",
            "4:1",
            "not available",
        ),
    ] {
        let found = body_error(body);
        assert_eq!((&*found.0, &*found.1, &*found.2), (message, place, label), "{body}");
    }
}

#[test]
fn errors_in_printf() {
    for (body, message, place, label) in [
        ("(printf)", "printf has no arguments", "4:1", "expected a format"),
        (
            "(printf s)",
            "printf's format must be a literal",
            "4:9",
            "expected a string in double quotes",
        ),
        (
            "(printf \"%d\\n\")",
            "this conversion has no argument",
            "4:10",
            "expected an integer behind the format",
        ),
        (
            "(printf \"é\\t%s\\n\")",
            "this conversion has no argument",
            "4:13",
            "expected a string behind the format",
        ),
        (
            "(printf \"\\n\" n)",
            "printf has an argument that its format doesn't print",
            "4:14",
            "expected a conversion for this in the format",
        ),
        ("(printf \"%s\\n\" n)", "this is an integer", "4:16", "expected a string"),
        ("(printf \"%d\\n\" s)", "this is a string", "4:16", "expected an integer"),
        (
            "(printf \"%x%n\" n)",
            "printf has no %n: a probe stores nothing through pointers",
            "4:12",
            "expected another conversion",
        ),
    ] {
        let found = body_error(body);
        assert_eq!((&*found.0, &*found.1, &*found.2), (message, place, label), "{body}");
    }
}

#[test]
fn unknown_names_get_a_suggestion() {
    for (body, message, help) in [
        ("(prinft \"\")", "unknown ident prinft", "did you mean printf?"),
        ("(gueststak s)", "unknown ident gueststak", "did you mean gueststack?"),
        ("(+ 1 VCPU_ID)", "unknown ident VCPU_ID", "did you mean VCPUID?"),
        ("rip", "unknown ident rip", "did you mean RIP?"),
        ("(setint m 1)", "unknown ident m", "did you mean n?"),
        ("(frobnicate)", "unknown ident frobnicate", ""),
    ] {
        let found = body_error(body);
        assert_eq!((&*found.0, &*found.3), (message, help), "{body}");
    }
}

#[test]
fn what_can_not_be_had_is_refused_by_name_and_says_why() {
    for (name, reason) in [
        ("getvmcs", "KVM doesn't show the VMCS to user space"),
        ("livecore", "dump writes the whole machine to a file"),
        ("schedtrace", "there is no vmkernel below this machine"),
    ] {
        let (message, ..) = body_error(&format!("({name} n)"));
        assert_eq!(message, format!("{name} is not available: {reason}"));
    }
    let (message, _, _, help) = body_error("(curpid)");
    assert_eq!(message, "curpid isn't built in: it depends on the guest's system");
    assert_eq!(help, "load a script beside this one that has (defun curpid () ...)");
}

#[test]
fn errors_outside_probes() {
    for (text, message) in [
        ("17", "a number can't stand here by itself"),
        ("(printf \"x\")", "printf can't stand outside a probe"),
        ("(defstirng s)", "unknown form defstirng"),
        ("(vprobe)", "this probe has no point and does nothing"),
        ("(vprobe VMM1Hz)", "this probe does nothing"),
        ("(vprobe 5 0)", "a number is no probe point"),
        (
            "(vprobe SMM_SMIPre 0)",
            "probe point SMM_SMIPre is not available: the machine has no system management mode",
        ),
        ("(vprobe USEC:1 0)", "USEC:1 is no probe point: a period is at least 50µs"),
        ("(vprobe badProbeName 0)", "unknown probe point badProbeName"),
        ("(version \"2.0\")", "the script is written for VP 2.0"),
        ("(version x)", "this is no version"),
        ("(definteger)", "bad definition"),
        ("(definteger n s)", "an integer can't begin as a name"),
        ("(definteger 5)", "this can't be a name"),
        ("(definteger RIP)", "RIP is a built-in variable"),
        ("(defstring printf)", "printf is a word of VP"),
        ("(defstring s 5)", "a string can't begin as a number"),
    ] {
        let diagnostics = refused(&format!("{text} (vprobe VMM1Hz 0)"));
        let messages: Vec<_> = diagnostics.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, [message], "{text}");
    }
}

#[test]
fn strings_have_255_bytes() {
    let long = "x".repeat(256);
    let (message, ..) = body_error(&format!("(setstr s \"{long}\")"));
    assert_eq!(message, "this string has 256 bytes");
    let (message, ..) = body_error(&format!("(printf \"{long}\")"));
    assert_eq!(message, "this string has 256 bytes");
}

#[test]
fn one_bad_probe_refuses_all_of_it() {
    let diagnostics = refused("(vprobe VMM1Hz 0) (vprobe VMM10Hz 0) (vprobe badProbeName 0)");
    assert_eq!(diagnostics.iter().count(), 1);
}

#[test]
fn a_script_without_probes_is_refused() {
    for text in ["", "; nothing", "(defstring s)"] {
        let diagnostics = refused(text);
        assert!(diagnostics.to_string().starts_with("Error: there is no probe in this script"));
    }
}

#[test]
fn many_errors_are_cut_short() {
    let diagnostics = refused(&"(nonsense)".repeat(1000));
    assert_eq!(diagnostics.iter().count(), 21);
}

#[test]
fn version_rules() {
    for version in ["1.0", "\"1.0\""] {
        assert!(load(&format!("(version {version}) (vprobe VMM1Hz 0)")).warnings().is_empty());
    }
    for version in ["0.2", "\"1.7\""] {
        let script = load(&format!("(version {version}) (vprobe VMM1Hz 0)"));
        assert_eq!(script.warnings().iter().count(), 1);
    }
}

#[test]
fn sources_share_their_names() {
    let sources = [
        Source::new("probe.vp", "(vprobe VMM1Hz (setint n 1))"),
        Source::new("names.vp", "(definteger n)"),
    ];
    let script = Script::load(&sources, &Options::default()).expect("a script");
    let probes: Vec<_> = script.probes().map(|(_, location)| location.to_string()).collect();
    assert_eq!(probes, ["probe.vp:1:1"]);
}

#[test]
fn the_lost_backslash_is_repaired_and_said_once_for_each_place() {
    let script = load(
        "(vprobe VMM1Hz (printf \"%dn\" 1)\n (printf \"%#llxn\" 2) (printf \"%d\\nn\" 3)\n\
         (printf \"%d %%n\\n\" 4) (printf \"n\") (printf \" %d in\" 6) (printf \"%dnn\" 7))",
    );
    let warnings: Vec<_> = script.warnings().iter().collect();
    let places: Vec<_> = warnings
        .iter()
        .map(|w| script.warnings().location(w).expect("a place").to_string())
        .collect();
    assert_eq!(places, ["test.vp:1:27", "test.vp:2:16"]);
    assert!(warnings[0].message.starts_with("line 1: "), "{}", warnings[0].message);
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    let mut bench = Bench::new(&script);
    bench.run(std::time::Duration::from_secs(1));
    assert_eq!(bench.script_lines(), ["1", "0x2", "3", "n4 %n", "n 6 in7nn"]);
}

#[test]
fn strict_vp_neither_repairs_nor_accepts_the_other_spelling() {
    let script = load_with("(vprobe VMM1Hz (printf \"%dn\" 1))", true);
    assert!(script.warnings().is_empty());
    let options = Options { strict: true, ..Options::default() };
    let error = Script::load(&[Source::new("t.vp", ONE_GOOD_PROBE)], &options).expect_err("VProbe");
    let error = error.iter().next().expect("an error").clone();
    assert_eq!(error.message, "unknown form VProbe");
    assert_eq!(
        error.help.as_deref(),
        Some("--strict-vp wants the keyword as in the manual: vprobe")
    );
    assert!(load("(VPROBE VMM1Hz 0)").warnings().is_empty());
}

/// Loads a script and renders its diagnostics. No script may cause a panic.
fn survive(text: &str) {
    for strict in [false, true] {
        let options = Options { strict, ..Options::default() };
        let diagnostics = match Script::load(&[Source::new("t.vp", text)], &options) {
            Ok(script) => script.warnings().clone(),
            Err(diagnostics) => diagnostics,
        };
        for style in [Style::Ascii, Style::Unicode, Style::Colour] {
            diagnostics.render(style);
        }
    }
}

const VALID: &str = "(version 1.0)\n(definteger n 5) ; é\n(defstring s \"x\\ty\")\n\
    (vprobe VMM1Hz (cond ((== n RIP) (printf \"%-5s %#016llx%%\\n\" s (+ n 1 2)))\n\
    (1 (do (setstr s PROBENAME) (setint n (- n 1)) (gueststack s)))) (printf \"%dn\" n))";

#[test]
fn the_valid_script_is_valid() {
    load(VALID);
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*") {
        survive(&text);
    }

    #[test]
    fn any_characters_are_survived(text in proptest::collection::vec(any::<char>(), 0..80)) {
        survive(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_arrangement_of_words_is_survived(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "(", "(", "(", ")", ")", ")", "vprobe", "VMM1Hz", "printf", "\"%d\"", "\"%sn\"", "s",
                "n", "definteger", "defstring", "cond", "do", "+", "-", "/", "&&", "!", "5", "-1",
                "gueststack", "setint", "setstr", "RIP", "version", "1.0", "\"", ";", "\n", "é", "\\",
            ]),
            0..60,
        )
    ) {
        survive(&words.join(" "));
    }

    #[test]
    fn any_mutation_of_a_valid_script_is_survived(
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<char>()), 1..6),
        end in any::<proptest::sample::Index>(),
    ) {
        let mut text: Vec<char> = VALID.chars().collect();
        for (at, new) in cuts {
            let at = at.index(text.len());
            text[at] = new;
        }
        survive(&text.iter().collect::<String>());
        text.truncate(end.index(text.len()));
        survive(&text.iter().collect::<String>());
    }
}
