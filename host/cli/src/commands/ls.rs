//! `knetsim ls`: the sandboxes that run.

use knetsim_sandbox::StateFolder;
use serde::Serialize;

use crate::control::client::Client;
use crate::output::{self, Format};
use crate::sandboxes;

/// List the sandboxes that are running
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  knetsim ls\n  knetsim ls -o name")]
pub(crate) struct Args {
    /// How to print them
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Serialize)]
struct Row {
    name: String,
    clusters: usize,
    nodes: usize,
    containers: usize,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let base = StateFolder::base()?;
    let names = StateFolder::running(&base)?;
    if args.output == Format::Name {
        output::print(&names.join("\n"))?;
        return Ok(0);
    }
    let mut rows = Vec::new();
    for name in names {
        match sandboxes::talk(Some(&name), async |client| row(&name, client).await) {
            Ok(row) => rows.push(row),
            Err(error) => output::warning(&format!("{name}: {error:#}")),
        }
    }
    match args.output {
        Format::Json => output::print_json(&rows)?,
        Format::Yaml => output::print(&serde_saphyr::to_string(&rows)?)?,
        Format::Table | Format::Wide | Format::Name => output::print(&table(rows))?,
    }
    Ok(0)
}

async fn row(name: &str, mut client: Client) -> anyhow::Result<Row> {
    let inventory = client.inspect().await?;
    let (clusters, nodes, containers) = (inventory.clusters.len(), inventory.nodes.len(), inventory.containers.len());
    Ok(Row { name: name.to_owned(), clusters, nodes, containers })
}

fn table(rows: Vec<Row>) -> String {
    let cells = |row: Row| vec![row.name, row.clusters.to_string(), row.nodes.to_string(), row.containers.to_string()];
    output::table(&["NAME", "CLUSTERS", "NODES", "CONTAINERS"], rows.into_iter().map(cells).collect())
}
