//! `knetsim schema`: the JSON schemas of what is read and printed. Copies of them lie in docs/.

use clap::ValueEnum;
use knetsim_model::inventory::Inventory;
use knetsim_model::topology::Topology;
use schemars::{Schema, schema_for};

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
        Of::Topology => schema_for!(Topology),
        Of::Inventory => schema_for!(Inventory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copies_in_docs_are_the_same() {
        for (of, name) in [(Of::Topology, "topology"), (Of::Inventory, "inventory")] {
            let path = format!("{}/../../docs/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
            let kept = std::fs::read_to_string(&path).unwrap();
            let now = serde_json::to_string_pretty(&schema(of)).unwrap() + "\n";
            assert!(kept == now, "{path} is old: `knetsim schema {name} > docs/{name}.schema.json`");
        }
    }
}
