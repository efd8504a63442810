use proptest::prelude::*;

use crate::testing::load;
use crate::{Options, Script, Source, Style};

#[test]
fn many_errors_are_cut_short() {
    let source = Source::new("t.vp", "(nonsense)".repeat(1000));
    let diagnostics = Script::load(&[source], &Options::default()).expect_err("nonsense");
    assert_eq!(diagnostics.iter().count(), 21);
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
