//! Checks docs/probes.md against the code: no row may be missing, and no row may be out of date.

use std::collections::BTreeMap;

use crate::front::vocabulary::{self, Head};
use crate::passes::Pass;
use crate::point::{self, Mechanisms};
use crate::{emmett, variable};

const TEXT: &str = include_str!("../../docs/probes.md");

/// The rows of the table below a heading: the text of the first cell and of the last cell.
fn rows(heading: &str) -> BTreeMap<String, String> {
    let mut lines = TEXT.lines().skip_while(|line| *line != heading).skip(1);
    let mut rows = BTreeMap::new();
    let table = lines.by_ref().skip_while(|line| !line.starts_with('|')).skip(2);
    for line in table.take_while(|line| line.starts_with('|')) {
        // A bar inside a cell is written \|.
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(names), Some(status)) = (cells.first(), cells.last()) else { continue };
        for name in names.split(' ').filter(|name| !name.is_empty()) {
            let name = name.trim_matches('`').replace('\u{1}', "|");
            let old = rows.insert(name.clone(), (*status).to_owned());
            assert!(old.is_none(), "{heading}: {name} is there twice");
        }
    }
    assert!(!rows.is_empty(), "{heading}: there is no table");
    rows
}

#[track_caller]
fn agree(heading: &str, code: impl Iterator<Item = (String, Option<&'static str>)>) {
    let status = |refused: Option<&str>| match refused {
        None => "runs".to_owned(),
        Some(reason) => format!("refused: {reason}"),
    };
    agree_with(heading, code.map(|(name, refused)| (name, status(refused))));
}

#[track_caller]
fn agree_with(heading: &str, code: impl Iterator<Item = (String, String)>) {
    let mut documented = rows(heading);
    let mut problems = Vec::new();
    for (name, expected) in code {
        match documented.remove(&name) {
            Some(status) if status == expected => {}
            Some(status) => problems.push(format!("{name}: `{status}` should be `{expected}`")),
            None => problems.push(format!("missing: | `{name}` | {expected} |")),
        }
    }
    problems.extend(documented.into_keys().map(|name| format!("stale: {name}")));
    assert!(problems.is_empty(), "{heading} in docs/probes.md:\n{}", problems.join("\n"));
}

#[test]
fn every_form_and_function_of_vp() {
    agree(
        "### Forms, functions and operators",
        vocabulary::all().map(|(name, head)| {
            let refused = match head {
                Head::Top(_) | Head::Value(_) => None,
                Head::Never(reason) => Some(reason),
            };
            (name.to_owned(), refused)
        }),
    );
}

#[test]
fn every_variable() {
    let runs = variable::names().map(|name| (name.to_owned(), None));
    let refused = variable::refused().map(|(name, reason)| {
        let name = if name.ends_with('_') { format!("{name}...") } else { name.to_owned() };
        (name, Some(reason))
    });
    agree("### Variables", runs.chain(refused));
}

#[test]
fn every_point() {
    agree_with(
        "### Probe points",
        point::rows().into_iter().map(|row| {
            let controlled = row.refusal(Mechanisms::CONTROLLED);
            let status = match (row.refusal(Mechanisms::PARALLEL), controlled) {
                (None, None) => "runs".to_owned(),
                (Some(reason), None) => format!("runs with replay; refused by run: {reason}"),
                (Some(reason), Some(_)) => format!("refused: {reason}"),
                (None, Some(_)) => panic!("{} runs with run alone", row.name),
            };
            (row.name, status)
        }),
    );
}

#[test]
fn every_argument_of_a_point() {
    let text = TEXT.lines().skip_while(|line| *line != "### Probe points");
    for row in point::rows().iter().filter(|row| !row.arguments.is_empty()) {
        let name = format!("`{}`", row.name);
        let line = text.clone().find(|line| line.starts_with('|') && line.contains(&name));
        let line = line.unwrap_or_else(|| panic!("{name} has no row"));
        let arguments = row.arguments.join(", ");
        assert!(line.contains(&format!("| {arguments} |")), "{name}: {arguments}: {line}");
    }
}

#[test]
fn every_word_of_emmett() {
    let words = emmett::vocabulary::keywords().map(|word| {
        let no_vmkernel = "there is no vmkernel below this machine";
        (word.to_owned(), (word == "pervmk").then_some(no_vmkernel))
    });
    let own = emmett::checker::OWN.iter().map(|name| ((*name).to_owned(), None));
    let refused = emmett::vocabulary::REFUSED.iter();
    let refused = refused.map(|(word, instead)| ((*word).to_owned(), Some(*instead)));
    let models = emmett::vocabulary::MODELS.iter().map(|(name, model)| {
        let refused = match model {
            Some(_) => None,
            None => Some("there is no hypervisor memory"),
        };
        ((*name).to_owned(), refused)
    });
    agree("### Words of Emmett", words.chain(own).chain(refused).chain(models));
}

#[test]
fn every_pass() {
    let text = include_str!("../../docs/passes.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<&str> = rows.map(|(name, _)| name).collect();
    assert_eq!(documented, Pass::ALL.map(Pass::name), "docs/passes.md");
}

/// Every example in the text can be loaded.
#[test]
fn every_example_can_be_loaded() {
    let mut count = 0;
    for (name, fence) in [("doc.vp", "```vp\n"), ("doc.emt", "```emt\n")] {
        for block in TEXT.split(fence).skip(1) {
            let code = block.split("```").next().unwrap_or_default();
            let source = crate::Source::new(name, code);
            if let Err(error) = crate::Script::load(&[source], &crate::Options::default()) {
                panic!("{code}\n{error}");
            }
            count += 1;
        }
    }
    assert!(count >= 3, "{count} examples");
}
