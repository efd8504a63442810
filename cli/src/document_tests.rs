use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use experiments::campaign;
use experiments::experiment::File;

use crate::{doctor, engine, hunt, list, points, races, replay, report};

fn schema<T: JsonSchema>() -> String {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = generator.into_root_schema_for::<T>();
    serde_json::to_string_pretty(&schema).expect("a schema") + "\n"
}

/// The schema of a file that the user writes.
fn schema_of_input<T: JsonSchema>() -> String {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = generator.into_root_schema_for::<T>();
    serde_json::to_string_pretty(&schema).expect("a schema") + "\n"
}

/// The published schemas are generated from the code, and must be up to date.
#[test]
fn the_schemas_are_true() {
    let documents = [
        ("run", schema::<report::Report>()),
        ("hunt", schema::<hunt::Report>()),
        ("sweep", schema::<hunt::SweepReport>()),
        ("races", schema::<races::Document>()),
        ("replay", schema::<replay::Report>()),
        ("explain", schema::<experiments::cause::Report>()),
        ("guests", schema::<list::Document>()),
        ("probes", schema::<points::Document>()),
        ("bench", schema::<engine::Document>()),
        ("doctor", schema::<doctor::Document>()),
        ("experiment", schema::<campaign::Report>()),
        ("experiment-compare", schema::<campaign::Comparison>()),
        ("experiment-file", schema_of_input::<File>()),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
    for (name, schema) in documents {
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("JITTERBUG_WRITE_SCHEMAS").is_some() {
            fs::write(&path, &schema).expect("a schema's file");
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            published == schema,
            "docs/schema/{name}.json isn't the schema of `{name} --json`: write it anew by \
             JITTERBUG_WRITE_SCHEMAS=1 cargo nextest run -p jitterbug the_schemas_are_true"
        );
    }
}
