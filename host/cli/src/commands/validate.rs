//! `knetsim validate FILE`: whether a topology file can be made.

use std::path::PathBuf;

use knetsim_model::Event;
use knetsim_model::manifest::IngressManifest;

use crate::topology::{self, Document};
use crate::{manifest, output, progress};

/// Check a topology file, or a Kubernetes Ingress object, without making anything
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  knetsim validate lab.yaml\n  knetsim validate ingress.yaml")]
pub(crate) struct Args {
    /// The file; `-` is standard input
    file: PathBuf,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let document = Document::read(&args.file)?;
    if document.is_object() {
        let object: IngressManifest = document.parse(manifest::HINT)?;
        let name = object.name().clone();
        // The object doesn't say where it runs, and nothing of it depends on that.
        let spec = manifest::translate(&document.name, object, "C0w1".parse()?, 80)?;
        let paths = output::count(spec.paths.len(), "path");
        output::say(format_args!("{} is right: ingress {name}, {paths}", document.name));
        return Ok(0);
    }
    let (topology, warnings) = topology::plan(document, None)?;
    warnings.into_iter().for_each(|message| progress::report(&Event::Warning { message }));
    let containers: usize = topology.clusters.values().map(|cluster| cluster.containers.len()).sum();
    let services: usize = topology.clusters.values().map(|cluster| cluster.services.len()).sum();
    let ingresses: usize = topology.clusters.values().map(|cluster| cluster.ingresses.len()).sum();
    let sites = topology.clusters.values().filter(|cluster| cluster.has_site()).count();
    output::say(format_args!(
        "{} is right: {}, {}, {}, {}, {}, {}",
        topology::name_of(&args.file),
        output::count(topology.clusters.len(), "cluster"),
        output::count(containers, "container"),
        output::count(services, "service"),
        output::count(ingresses, "ingress"),
        output::count(sites, "site"),
        output::count(topology.scratch.len(), "scratch node")
    ));
    Ok(0)
}
