//! `knetsim schema`: the JSON schemas of what is read and printed. Copies of them lie in docs/.

use clap::ValueEnum;
use knetsim_model::inventory::Inventory;
use knetsim_model::topology::Topology;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, schema_for};
use serde_json::Value;

use crate::output;

/// Print a JSON schema
///
/// With an editor that knows YAML, put
/// `# yaml-language-server: $schema=topology.schema.json` on the first line of a topology file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  knetsim schema > topology.schema.json")]
pub(crate) struct Args {
    /// Of what
    #[arg(value_enum, default_value = "topology")]
    of: Of,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// The topology file
    Topology,
    /// What `inspect -o json` prints
    Inventory,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    output::print_json(&schema(args.of))?;
    Ok(0)
}

fn schema(of: Of) -> Schema {
    match of {
        Of::Topology => {
            let mut schema = schema_for!(Topology);
            WithoutNulls.transform(&mut schema);
            schema
        }
        Of::Inventory => schema_for!(Inventory),
    }
}

/// A topology file refuses a key with nothing behind it; the types' own schemas allow `null` where a field is optional.
struct WithoutNulls;

impl Transform for WithoutNulls {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| choice["type"] != "null");
            if let [Value::Object(only)] = choices.as_mut_slice() {
                let only = std::mem::take(only);
                schema.remove("anyOf");
                only.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
            }
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use schemars::json_schema;

    use super::*;

    #[test]
    fn a_topology_file_has_no_null() {
        let mut schema = json_schema!({"properties": {
            "one": {"type": ["integer", "null"], "minimum": 0},
            "two": {"description": "Two.", "anyOf": [{"$ref": "#/$defs/Two"}, {"type": "null"}]},
            "three": {"items": {"anyOf": [{"type": "string"}, {"type": ["integer", "boolean"]}, {"type": "null"}]}},
        }});
        WithoutNulls.transform(&mut schema);
        let right = json_schema!({"properties": {
            "one": {"type": "integer", "minimum": 0},
            "two": {"description": "Two.", "$ref": "#/$defs/Two"},
            "three": {"items": {"anyOf": [{"type": "string"}, {"type": ["integer", "boolean"]}]}},
        }});
        assert_eq!(schema, right);
        assert!(!schema_text(Of::Topology).contains("null"));
    }

    fn schema_text(of: Of) -> String {
        serde_json::to_string_pretty(&schema(of)).unwrap() + "\n"
    }

    #[test]
    fn the_copies_in_docs_are_the_same() {
        for (of, name) in [(Of::Topology, "topology"), (Of::Inventory, "inventory")] {
            let path = format!("{}/../../docs/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
            let kept = std::fs::read_to_string(&path).unwrap();
            assert!(kept == schema_text(of), "{path} is old: `knetsim schema {name} > docs/{name}.schema.json`");
        }
    }
}
