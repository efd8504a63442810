//! Checks the documents that the program prints against their published schemas (docs/schema).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

/// Each document's name and its schema.
const SCHEMAS: &[(&str, &str)] = &[
    ("run", include_str!("../../docs/schema/run.json")),
    ("hunt", include_str!("../../docs/schema/hunt.json")),
    ("sweep", include_str!("../../docs/schema/sweep.json")),
    ("races", include_str!("../../docs/schema/races.json")),
    ("replay", include_str!("../../docs/schema/replay.json")),
    ("explain", include_str!("../../docs/schema/explain.json")),
    ("guests", include_str!("../../docs/schema/guests.json")),
    ("probes", include_str!("../../docs/schema/probes.json")),
    ("bench", include_str!("../../docs/schema/bench.json")),
    ("experiment", include_str!("../../docs/schema/experiment.json")),
    ("experiment-compare", include_str!("../../docs/schema/experiment-compare.json")),
    ("doctor", include_str!("../../docs/schema/doctor.json")),
];

/// The largest integer up to which a `double` represents every integer.
const LARGEST: u64 = 1 << 53;

/// Checks the output of a command; `command` has its words in double quotes.
pub(crate) fn check(command: &str, document: &Value) {
    static VALIDATORS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
        let validator = |text| {
            let schema = serde_json::from_str(text).expect("a schema is JSON");
            jsonschema::validator_for(&schema).expect("a schema")
        };
        SCHEMAS.iter().map(|(name, text)| (*name, validator(text))).collect()
    });
    let words = || command.split('"').filter(|word| VALIDATORS.contains_key(word));
    let name = words().next().unwrap_or_else(|| panic!("{command}: which document is that?"));
    let has = |option| command.contains(&format!("\"{option}\""));
    let name = if has("compare") { "experiment-compare" } else { name };
    let name = if has("--bench") { "bench" } else { name };
    let name = if has("--faults") { "sweep" } else { name };
    let problems: Vec<String> = VALIDATORS[name]
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{command}: docs/schema/{name}.json: {}", problems.join("\n"));
    assert_eq!(document["format"], 3, "{command}");
    check_numbers(document, "");
}

/// Fails for a number that a program would round, except for numbers that the user gave.
fn check_numbers(value: &Value, name: &str) {
    match value {
        Value::Number(number) => {
            let exact = number.as_u64().is_none_or(|number| number <= LARGEST);
            assert!(exact || name == "seed", "{name}: {number} should be a string");
        }
        Value::Array(values) => values.iter().for_each(|value| check_numbers(value, name)),
        Value::Object(values) => values.iter().for_each(|(name, value)| check_numbers(value, name)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
