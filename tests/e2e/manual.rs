//! The claim: `completions` prints a script for each shell, and `man` writes a page for each
//! command.

use std::fs;
use std::process::Command;

use crate::harness::{Invocation, jitterbug};
use crate::scratch::Folder;

tests! {
    Nothing: completions_for_each_shell, an_unknown_shell, man_pages, man_without_a_folder;
    Bash: bash_takes_its_completions;
}

fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = jitterbug(&format!("completions {shell}")).ends_with(0);
        for word in ["jitterbug", "hunt", "replay"] {
            assert!(script.stdout.contains(word), "{shell}: {script}");
        }
    }
}

fn bash_takes_its_completions() {
    let script = jitterbug("completions bash").ends_with(0).stdout;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", "eval \"$(cat)\"; complete -p jitterbug"]);
    let complete = Invocation::new(bash).input(script).ends_with(0).stdout;
    assert!(complete.contains("-F _jitterbug"), "{complete}");
}

fn an_unknown_shell() {
    jitterbug("completions tcsh").ends_with(2).shows("").says(&["tcsh", "bash", "zsh"]);
}

fn man_pages() {
    let folder = Folder::new();
    jitterbug("man").arg(&*folder).ends_with(0).shows("");
    let page = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    assert!(page("jitterbug.1").contains("jitterbug\\-hunt(1)"), "{}", page("jitterbug.1"));
    for command in ["run", "hunt", "replay", "explain", "guests", "probes", "doctor"] {
        let text = page(&format!("jitterbug-{command}.1"));
        assert!(text.contains(&format!(".TH jitterbug-{command}")), "{text}");
    }
    assert!(page("jitterbug-hunt.1").contains("\\-\\-strategy"), "{}", page("jitterbug-hunt.1"));
}

fn man_without_a_folder() {
    let folder = Folder::new();
    let missing = folder.join("missing");
    jitterbug("man").arg(&missing).ends_with(2).shows("").says(&["missing", "not a folder"]);
}
