//! The claim: imports go one way. Modules of a crate don't import each other in a circle, and no
//! crate imports a crate above it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates, from the lowest to the highest. Each may use those before it.
const CRATES: [&str; 8] =
    ["devices", "guests", "vmm", "inspect", "probes", "experiments", "bed", "cli"];

/// A module: its path from the crate's root.
type Module = Vec<String>;

/// For each module, the modules beside it that it imports.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let circles: Vec<String> = CRATES
        .iter()
        .flat_map(|name| {
            let modules = modules(&root().join(name).join("src"));
            assert!(!modules.is_empty(), "{name} has no modules");
            let imports = imports(&modules);
            let circles = imports.keys().filter_map(|module| circle(module, &imports));
            circles.map(|circle| format!("{name}: {circle}")).collect::<BTreeSet<_>>()
        })
        .collect();
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}

#[test]
fn no_crate_imports_one_above_it() {
    for (number, name) in CRATES.iter().enumerate() {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect(name);
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for above in &CRATES[number..] {
            let uses = dependencies.lines().any(|line| line.starts_with(&format!("{above}.")));
            assert!(!uses, "{name} uses {above}");
        }
    }
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let text = |text: &str| without_comments_and_tests(text);
    let mut modules = BTreeMap::from([
        (vec![], text("mod a; mod b; mod c;")),
        (module("a"), text("use crate::b::{self, Thing};\nfn f() {}")),
        (module("b"), text("// use crate::a;\nuse crate::{c, x};")),
        (
            module("c"),
            text("fn f() { super::d::f(); }\n#[cfg(test)]\nmod tests {\n use crate::a; }"),
        ),
    ]);
    let found = |modules: &_| circle(&module("a"), &imports(modules));
    assert_eq!(found(&modules), None);
    modules.insert(module("c"), text("fn f() { super::a::f(); }"));
    assert_eq!(found(&modules).as_deref(), Some("a -> b -> c -> a"));
}

/// The modules of a crate, without modules of tests, and their text.
fn modules(source: &Path) -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![source.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("a source").path();
            let inside = path.strip_prefix(source).expect("inside").with_extension("");
            let mut module: Module =
                inside.iter().map(|part| part.to_str().expect("UTF-8").into()).collect();
            let name = module.last().cloned().unwrap_or_default();
            let for_tests = ["tests", "testing", "test_guest", "scripted"].contains(&&*name);
            if for_tests || name.ends_with("_tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|kind| kind != "rs") {
                continue;
            }
            if ["mod", "lib", "main"].contains(&&*name) {
                module.pop();
            }
            let text = fs::read_to_string(&path).expect("a source");
            modules.insert(module, without_comments_and_tests(&text));
        }
    }
    modules
}

fn without_comments_and_tests(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join("\n");
    // A module of tests inside a file is at its end.
    let tests = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| {
        let item = text[at + "#[cfg(test)]".len()..].trim_start();
        item.starts_with("mod ") && item.find('{') < item.find(';').or(Some(usize::MAX))
    });
    text[..tests.unwrap_or(text.len())].to_owned()
}

/// For each module, the modules with the same parent that it imports.
fn imports(modules: &BTreeMap<Module, String>) -> Imports {
    let mut imports = Imports::new();
    for (module, text) in modules {
        for path in paths(text) {
            let target = resolve(module, &path, modules);
            let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if common < module.len() && common < target.len() {
                let (from, to) = (module[..=common].to_vec(), target[..=common].to_vec());
                imports.entry(from).or_default().insert(to);
            }
        }
    }
    imports
}

/// The module to which a path leads, or which contains its target.
fn resolve(module: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Module {
    let mut parts = path.iter().peekable();
    let mut target = if parts.next_if(|part| *part == "crate").is_some() {
        Vec::new()
    } else {
        parts.next_if(|part| *part == "self");
        module.clone()
    };
    while parts.next_if(|part| *part == "super").is_some() {
        target.pop();
    }
    for part in parts {
        target.push(part.clone());
        if !modules.contains_key(&target) {
            target.pop();
            break;
        }
    }
    target
}

/// All paths in a text that begin with `crate`, `super` or `self`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|char| !char.is_alphanumeric() && !"_:".contains(char)) {
                read_tree(&text[at..], &[], &mut paths);
            }
        }
    }
    paths
}

/// Reads a tree of paths such as `a::{b, c::d}`, and returns the text after it.
fn read_tree<'a>(text: &'a str, before: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
        let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if !name.is_empty() {
            path.push(name.into());
            rest = behind;
        } else if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                rest = read_tree(rest, &path, paths).trim_start();
                // This also skips `as name` and `*`.
                let end = rest.find([',', '}']).map_or(rest.len(), |end| end + 1);
                let last = rest[..end].ends_with('}') || end == rest.len();
                rest = rest[end..].trim_start();
                if last {
                    return rest;
                }
            }
        }
        match rest.strip_prefix("::") {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    paths.push(path);
    rest
}

/// A path of imports from a module back to itself.
fn circle(module: &Module, imports: &Imports) -> Option<String> {
    fn walk(
        at: &Module,
        goal: &Module,
        imports: &Imports,
        seen: &mut BTreeSet<Module>,
    ) -> Option<Vec<Module>> {
        for next in imports.get(at)? {
            if next == goal {
                return Some(vec![at.clone(), next.clone()]);
            }
            if seen.insert(next.clone())
                && let Some(mut way) = walk(next, goal, imports, seen)
            {
                way.insert(0, at.clone());
                return Some(way);
            }
        }
        None
    }
    let way = walk(module, module, imports, &mut BTreeSet::new())?;
    Some(way.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" -> "))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
