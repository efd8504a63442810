use std::path::PathBuf;
use std::process::Command;

use super::*;

#[test]
fn a_shell_takes_every_word_as_it_is() {
    let words = ["plain", "two words", "it's", "$HOME `id` \\ \"x\"", "", "*", "-n", "a\nb"];
    let job = Job {
        program: PathBuf::from("/usr/bin/printf"),
        arguments: std::iter::once("[%s]").chain(words).map(OsString::from).collect(),
        environment: vec![("A".into(), "it's".into())],
        folder: PathBuf::from("/"),
        files: Vec::new(),
        results: None,
        limit: None,
    };
    let script = script(&job);
    let output = Command::new("sh").arg("-c").arg(OsStr::from_bytes(&script)).output();
    let printed = String::from_utf8(output.expect("a shell").stdout).expect("text");
    assert_eq!(printed, words.map(|word| format!("[{word}]")).concat());
}
