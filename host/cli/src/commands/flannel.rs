//! `knetsim flannel CLUSTER FILE`: another flannel configuration.

use std::path::PathBuf;

use knetsim_model::{ClusterName, Operation};

use crate::commands::submit;
use crate::{completion, topology};

/// What to do about a file that can't be read.
pub(super) const HINT: &str = "conf/flannel-network-config.json is an example";

/// Give a cluster another flannel configuration
///
/// Its agents are restarted, and its containers are made anew with other addresses.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  knetsim flannel C0 conf/flannel-network-config.json")]
pub(crate) struct Args {
    #[arg(add = completion::clusters())]
    cluster: ClusterName,
    /// The configuration, in flannel's own format (JSON); `-` is standard input
    file: PathBuf,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let config = topology::read_yaml(&args.file, HINT)?;
    submit(name, vec![Operation::SetFlannel { cluster: args.cluster, config }])
}
