//! The claim: documents and comments keep to the project's style, as far as a list of words shows
//! it. Sentences name their subject, so the pronouns on the list are not needed; the other words
//! are vague, or old names. Lines have at most 100 characters.

use std::fs;
use std::path::{Path, PathBuf};

/// Words and shapes that documents and comments don't use, and what to write instead.
const AVOIDED: [(&str, &str); 15] = [
    ("somebody", "the thread, the vCPU or the user"),
    ("nobody", "no thread, no vCPU or no user"),
    ("everybody", "all threads, vCPUs or users"),
    ("anybody", "a thread, a vCPU or a user"),
    ("whoever", "the thread, the vCPU or the user that"),
    ("so many", "this number of"),
    ("so often", "this number of times"),
    ("how-many-th", "the number of the time"),
    ("gets on", "makes progress"),
    ("goes round", "loops"),
    ("comes of", "results from"),
    ("comes of it", "results"),
    ("can't be had", "is not available"),
    ("worth a word", "reported"),
    ("deed", "destructive action, operation"),
];

/// The most characters of a line.
const LONGEST: usize = 100;

const CRATES: [&str; 8] =
    ["bed", "cli", "devices", "experiments", "guests/src", "inspect", "probes", "vmm"];

#[test]
fn documents_keep_to_the_style() {
    let mut documents = vec!["README.md", "ARCHITECTURE.md", "guests/README.md"]
        .into_iter()
        .map(|name| root().join(name))
        .collect::<Vec<_>>();
    documents.extend(files(&root().join("docs"), "md"));
    assert!(documents.len() > 10, "{documents:?}");
    let mut problems = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).expect("a document");
        let mut is_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.starts_with("```") {
                is_code = !is_code;
            }
            // A table has a row in a line; code and output are what they are.
            if !is_code && !line.starts_with('|') {
                problems.extend(problem(&document, number, line));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn comments_keep_to_the_style() {
    let mut problems = Vec::new();
    for source in CRATES.iter().chain(&["tests"]).flat_map(|name| files(&root().join(name), "rs")) {
        if source.ends_with("tests/prose.rs") {
            continue;
        }
        let text = fs::read_to_string(&source).expect("a source");
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("//") {
                problems.extend(problem(&source, number, line));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn what_is_avoided_is_seen() {
    let seen = |line: &str| problem(Path::new("file"), 7, line);
    assert_eq!(seen("/// The thread that kicks a vCPU; indeed."), None);
    let problem = seen("// Somebody waits.").expect("a problem");
    assert!(problem.contains("file:7: \"somebody\""), "{problem}");
    assert!(seen(&"x".repeat(101)).is_some() && seen(&"x".repeat(100)).is_none());
}

/// What is wrong with a line.
fn problem(file: &Path, number: usize, line: &str) -> Option<String> {
    let place = format!("{}:{number}", file.display());
    if line.chars().count() > LONGEST {
        return Some(format!("{place}: {} characters", line.chars().count()));
    }
    let lower = line.to_lowercase();
    let avoided = AVOIDED.iter().find(|(word, _)| {
        lower.match_indices(word).any(|(at, _)| {
            let is_letter = |char: Option<char>| char.is_some_and(char::is_alphanumeric);
            let (before, behind) = (&lower[..at], &lower[at + word.len()..]);
            !is_letter(before.chars().next_back()) && !is_letter(behind.chars().next())
        })
    });
    avoided.map(|(word, instead)| format!("{place}: \"{word}\": write {instead}"))
}

/// The files of a kind in a folder and below it.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            found.extend(files(&path, kind));
        } else if path.extension().is_some_and(|its| its == kind) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
