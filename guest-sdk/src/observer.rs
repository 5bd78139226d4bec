//! What the kernel, a daemon or a file shows.

use crate::Result;
use crate::bindings::knetsim::lab::observe;
use crate::records::{Address, FdbEntry, Link, NamedNamespace, Neighbour, NftRuleset, Process, Route, Socket};

/// A place to look at: everything is asked for at the moment of the call, and nothing is changed by it.
///
/// ```no_run
/// use knetsim_sdk::{Lab, Place};
/// # fn main() -> knetsim_sdk::Result<()> {
/// let node = Lab::new().place("C0w1").observe()?;
/// for link in node.links()? {
///     println!("{:12} {:8} {} packets sent", link.name, link.kind, link.counters.tx_packets);
/// }
/// for rule in node.ruleset()?.rules {
///     println!("{} {}: {:?} packets", rule.table, rule.chain, rule.packets);
/// }
/// print!("{}", node.read_file("/run/flannel/subnet.env")?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Observer(observe::Observer);

impl Observer {
    pub(crate) fn new(handle: observe::Observer) -> Self {
        Observer(handle)
    }

    /// Network devices with their counters: `ip -d -s link`.
    ///
    /// # Errors
    /// The place is gone, or the kernel refused.
    pub fn links(&self) -> Result<Vec<Link>> {
        Ok(self.0.links()?)
    }

    /// The network device of that name; none where there is none.
    ///
    /// # Errors
    /// As [`Observer::links`].
    pub fn link(&self, name: &str) -> Result<Option<Link>> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// Addresses: `ip address`.
    ///
    /// # Errors
    /// As [`Observer::links`].
    pub fn addresses(&self) -> Result<Vec<Address>> {
        Ok(self.0.addresses()?)
    }

    /// Routes of all tables: `ip route show table all`.
    ///
    /// # Errors
    /// As [`Observer::links`].
    pub fn routes(&self) -> Result<Vec<Route>> {
        Ok(self.0.routes()?)
    }

    /// Neighbour entries: `ip neighbour`.
    ///
    /// # Errors
    /// As [`Observer::links`].
    pub fn neighbours(&self) -> Result<Vec<Neighbour>> {
        Ok(self.0.neighbours()?)
    }

    /// Forwarding entries: `bridge fdb`.
    ///
    /// # Errors
    /// As [`Observer::links`].
    pub fn fdb(&self) -> Result<Vec<FdbEntry>> {
        Ok(self.0.fdb()?)
    }

    /// The nftables ruleset: `nft -j list ruleset`.
    ///
    /// # Errors
    /// As [`Observer::links`]; also where `nft` is not installed.
    pub fn ruleset(&self) -> Result<NftRuleset> {
        Ok(self.0.ruleset()?)
    }

    /// The nftables ruleset in nft's own language, with handles: `nft -a list ruleset`.
    ///
    /// # Errors
    /// As [`Observer::ruleset`].
    pub fn ruleset_text(&self) -> Result<String> {
        Ok(self.0.ruleset_text()?)
    }

    /// TCP and UDP sockets: `ss -tuan`.
    ///
    /// # Errors
    /// As [`Observer::links`].
    pub fn sockets(&self) -> Result<Vec<Socket>> {
        Ok(self.0.sockets()?)
    }

    /// Processes in its network namespace: `ps`.
    ///
    /// # Errors
    /// As [`Observer::links`].
    pub fn processes(&self) -> Result<Vec<Process>> {
        Ok(self.0.processes()?)
    }

    /// Named network namespaces of a node, also those made by hand: `ip netns list`.
    ///
    /// # Errors
    /// As [`Observer::links`]; also where it is no node.
    pub fn namespaces(&self) -> Result<Vec<NamedNamespace>> {
        Ok(self.0.namespaces()?)
    }

    /// A file in a node's own folders, /run, /var or /etc/cni, of at most 1 MiB, as text.
    ///
    /// # Errors
    /// It is no node, there is no such file, or it is no regular one, or longer.
    pub fn read_file(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.0.read_file(path)?).into_owned())
    }

    /// The names in one of a node's own folders, sorted; a folder's with a `/` at its end.
    ///
    /// # Errors
    /// It is no node, or there is no such folder.
    pub fn list_folder(&self, path: &str) -> Result<Vec<String>> {
        Ok(self.0.list_folder(path)?)
    }

    /// The names of the logs that a node's daemons and commands write, or a container's.
    ///
    /// # Errors
    /// The place is gone, or nothing was logged yet.
    pub fn logs(&self) -> Result<Vec<String>> {
        Ok(self.0.logs()?)
    }

    /// A log by its name, such as `etcd`: at most its last MiB.
    ///
    /// # Errors
    /// The place is gone, or there is no such log.
    pub fn read_log(&self, name: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.0.read_log(name)?).into_owned())
    }
}
