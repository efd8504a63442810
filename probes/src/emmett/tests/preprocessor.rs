//! Macros, conditions, includes.

use super::*;

#[test]
fn the_preprocessor() {
    assert_eq!(
        prints(
            "# a comment, as the first dialect had it
             #define N 3
             #define ADD(a, b) ((a) + (b))
             #define TWICE(x) ADD(x, x)
             #define SELF SELF
             #ifdef N
             #define TEXT \"defined\"
             #else
             #error
             #endif
             #ifndef N
             nonsense
             #elif N
             int kept = TWICE(N);
             #endif
             #undef N
             #if defined(N) 
             nonsense
             #elif !0
             // more
             #else
             nonsense
             #endif
             int SELF; /* a
             comment */
             VMMLoad { # this too
                 printf(\"%s %d %d\\n\", TEXT, kept, \\
                        ADD(1, ADD(2, 3))); SELF = 1; }"
        ),
        ["defined 6 6"]
    );
    assert_eq!(error("#ifdef X\nVMMLoad exit();").0, "this condition is never closed");
    assert_eq!(error("#endif\nVMMLoad exit();").0, "this #endif belongs to no condition");
    assert_eq!(error("#define F(a) a\nVMMLoad F(1, 2);").0, "F takes 1 arguments, and 2 are given");
}

#[test]
fn macros_that_grow_without_end_are_stopped() {
    let mut text = String::from("#define A0 1+1\n");
    for level in 1..15 {
        let below = format!("A{}", level - 1);
        text += "#define A";
        text += &[&level.to_string(), " ", &below, "+", &below, "+", &below, "\n"].concat();
    }
    let found = refused(&format!("{text}VMMLoad x = A14;"));
    assert!(found.to_string().contains("the script has more than 200000 words"), "{found}");
}

#[test]
fn includes_are_read_from_the_folder_of_the_script() {
    let folder = std::env::temp_dir().join(format!("jitterbug-include-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let main = "#include \"lib.emt\"\nVMMLoad printf(\"%d\\n\", twice(N));";
    let path = file("main.emt", main);
    file("lib.emt", "#define N 21\nint twice(int n) { return n + n; }");
    let script = load_source(&path, main, &Options::default());
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    assert_eq!(bench.script_lines(), ["42"]);

    file("lib.emt", "#include \"lib.emt\"\n");
    let error = Script::load(&[Source::new(&path, main)], &Options::default());
    let text = error.expect_err("a circle").to_string();
    assert!(text.contains("does it include itself?"), "{text}");
    // An error in an included file is shown there.
    file("lib.emt", "\nint twice(int n) { return m; }");
    let error = Script::load(&[Source::new(&path, main)], &Options::default());
    let text = error.expect_err("an error").to_string();
    assert!(text.contains("lib.emt:2:27"), "{text}");
    std::fs::remove_dir_all(&folder).expect("gone");
    assert!(refused("#include \"/dev/zero\"\n").to_string().contains("not a file"));
}
