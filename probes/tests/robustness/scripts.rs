//! Both front ends, and the engine on whatever they accept.

use std::time::Instant;

use probes::point::Mechanisms;
use probes::{Options, Script, Source};

use crate::fire::load_and_run;
use crate::generate::{EMMETT, VP, WORDS, script};
use crate::inputs::{MAX_MEMORY, Random, SLOWEST, inputs, peak_memory, try_all};

#[test]
fn vp_scripts() {
    try_all(4000, |random| {
        let text = script(random, VP);
        load_and_run("fuzz.vp", &text, random.next())
    });
}

#[test]
fn emmett_scripts() {
    try_all(4000, |random| {
        let text = script(random, EMMETT);
        load_and_run("fuzz.emt", &text, random.next())
    });
}

/// Otherwise the tests below would only show that invalid scripts are refused.
#[test]
fn the_scripts_to_begin_with_work() {
    for (name, seeds) in [("seed.vp", VP), ("seed.emt", EMMETT)] {
        for seed in seeds {
            let mechanisms = Mechanisms::all();
            let options = Options { mechanisms, destructive: true, ..Options::default() };
            if let Err(error) = Script::load(&[Source::new(name, *seed)], &options) {
                panic!("{error}");
            }
            assert!(load_and_run(name, seed, 0));
        }
    }
}

#[test]
fn words_in_any_order() {
    for seed in 0..inputs(4000) {
        let random = &mut Random(seed);
        let words: Vec<&str> = (0..random.below(60)).map(|_| random.pick(WORDS)).collect();
        let text = words.join([" ", "", "\n"][random.below(3)]);
        let name = ["fuzz.vp", "fuzz.emt"][random.below(2)];
        load_and_run(name, &text, random.next());
    }
}

#[test]
fn nesting_without_end() {
    for (name, start) in [("deep.vp", "(vprobe VMM1Hz "), ("deep.emt", "VMM1Hz x = ")] {
        for piece in [
            "(",
            "[",
            "{",
            "((",
            "(+ 1 ",
            "(cond (1 ",
            "(do ",
            "!",
            "~",
            "-",
            "*",
            "&",
            "x?",
            "x=",
            "x->",
            "f(",
            "a[",
            "(int)",
            "sizeof ",
            "x+",
            "1,",
            "{if(x)",
            "if(x)",
            "else ",
            "try ",
            "for(;;)",
            "struct{",
            "int*",
            "*x",
            "x[1]",
            "x++",
            "a<-",
            "\"a\"",
            "\"a\"+",
            ";",
            "int x;",
            "/*",
            "//",
            "#",
            "#if 1\n",
            "#define A A\n",
            "typedef int",
            "enum{",
            "@",
            "x.y.",
            "x:",
        ] {
            for count in [99, 101, 20_000] {
                let text = format!("{start}{}", piece.repeat(count));
                let before = Instant::now();
                load_and_run(name, &text, 0);
                assert!(before.elapsed() < SLOWEST, "{piece} {count}: {:?}", before.elapsed());
            }
        }
    }
    assert!(peak_memory() < MAX_MEMORY, "{} MiB", peak_memory() >> 20);
}
