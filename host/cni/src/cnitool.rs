//! `cnitool`: the runtime as a command, as containernetworking/cni has it.
//!
//! ```text
//! CNI_PATH=/opt/cni/bin NETCONFPATH=/etc/cni/net.d cnitool add C0w1 /var/run/netns/c1
//! ```
//!
//! Plugins are executables in CNI_PATH, of whatever make.

use std::io;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha512};

use crate::attachment::{Attachment, parse_args};
use crate::error::Error;
use crate::exec;
use crate::main_by_name::{host, print};
use crate::plugins::Plugins;
use crate::runtime::Runtime;

const USAGE: &str = "\
usage: cnitool add|del|check|gc|status NETWORK NETNS [-i IFNAME]

Connects a network namespace to a network, disconnects or checks it; removes what is stale; asks
whether the network is ready.

  NETWORK      the name of a configuration in $NETCONFPATH (default /etc/cni/net.d)
  NETNS        path of the namespace, such as /var/run/netns/c1
  -i IFNAME    interface to make inside (default $CNI_IFNAME, else eth0)

  CNI_PATH     folders with plugins (default /opt/cni/bin)
  CNI_ARGS     KEY=VALUE;KEY=VALUE for all plugins
  CAP_ARGS     a JSON object: arguments by capability
";

/// The container id that cnitool gives a namespace: whoever wants to meet it uses the same.
/// The path is to be absolute and plain, as in `/var/run/netns/c1`.
pub fn container_id(netns_path: &str) -> String {
    let digest: String = Sha512::digest(netns_path)[..10].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("cnitool-{digest}")
}

struct Arguments {
    command: String,
    network: String,
    netns: String,
    ifname: Option<String>,
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, Error> {
    let (mut positional, mut ifname) = (Vec::new(), None);
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-i" | "--ifname" => ifname = arguments.next(),
            other => match other.strip_prefix("--ifname=") {
                Some(name) => ifname = Some(name.to_owned()),
                None => positional.push(argument),
            },
        }
    }
    let [command, network, netns] =
        <[String; 3]>::try_from(positional).map_err(|_| Error::Parameter(USAGE.to_owned()))?;
    Ok(Arguments { command, network, netns, ifname })
}

/// An environment variable; an empty one counts as none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A path as the shell's folder makes it absolute, without `.`, `..` and doubled `/`.
fn absolute(path: &str) -> Result<String, Error> {
    let whole = std::path::absolute(path).map_err(Error::io(format!("find {path}")))?;
    let mut plain = PathBuf::from("/");
    for component in whole.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    Ok(plain.display().to_string())
}

pub(crate) async fn run(arguments: impl Iterator<Item = String>) -> Result<(), Error> {
    let arguments = parse(arguments)?;
    let netns = absolute(&arguments.netns)?;
    let mut attachment = Attachment::new(&container_id(&netns), None, &netns);
    attachment.ifname = arguments.ifname.or_else(|| variable("CNI_IFNAME")).unwrap_or(attachment.ifname);
    attachment.args = parse_args(&variable("CNI_ARGS").unwrap_or_default())?;
    if let Some(text) = variable("CAP_ARGS") {
        attachment.capabilities = serde_json::from_str(&text).map_err(Error::decode("CAP_ARGS"))?;
    }

    let folders = exec::folders(&variable("CNI_PATH").unwrap_or_else(|| "/opt/cni/bin".to_owned()));
    let runtime = Runtime::with(host()?, Plugins::Executables(folders));
    let folder = absolute(&variable("NETCONFPATH").unwrap_or_else(|| "/etc/cni/net.d".to_owned()))?;
    let list = match arguments.command.as_str() {
        "del" => runtime.network_of_in(&folder, &arguments.network, &attachment)?,
        _ => runtime.network_in(&folder, &arguments.network)?,
    };
    match arguments.command.as_str() {
        "add" if Path::new(&netns).exists() => {
            let result = runtime.add(&list, &attachment).await?;
            print(&result.to_json(list.version))
        }
        "add" => Err(Error::io(format!("open {netns}"))(io::ErrorKind::NotFound.into())),
        "del" => runtime.del(&list, &attachment).await,
        "check" => runtime.check(&list, &attachment).await,
        "gc" => runtime.gc(&list, &[]).await,
        "status" => runtime.status(&list).await,
        _ => Err(Error::Parameter(USAGE.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_real_cnitool() {
        // printf %s /var/run/netns/testing | sha512sum | cut -c1-20
        assert_eq!(container_id("/var/run/netns/testing"), "cnitool-77383ca0a0715733ca6f");
    }

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(absolute("/var//run/./x/../netns/c1").unwrap(), "/var/run/netns/c1");
    }
}
