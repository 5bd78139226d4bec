//! Operations: the one set of verbs that every front end speaks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flannel::FlannelConfig;
use crate::ingress::IngressSpec;
use crate::interconnect::{ConnectorSpec, Interconnect, LinkSpec, ListenerSpec, Token};
use crate::names::{
    ClusterName, ConnectorRef, ContainerRef, IngressRef, InterfaceRef, LinkRef, ListenerRef, NodeName, ServiceRef,
    TokenRef,
};
use crate::service::ServiceSpec;
use crate::topology::Topology;

/// Who made an object, and so who may replace it without being asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The topology file that was applied last.
    File,
    /// A lab, by the name in its manifest.
    Lab(String),
    /// A person, by a command.
    User,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::File => f.write_str("the topology file"),
            Owner::Lab(name) => write!(f, "lab `{name}`"),
            Owner::User => f.write_str("the user"),
        }
    }
}

/// A change to what is emulated. The emulator validates it whole before its first side effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Operation {
    /// A cluster with its switch, two etcd nodes and `workers` workers.
    CreateCluster {
        /// Its name.
        cluster: ClusterName,
        /// How many workers to begin with.
        workers: u32,
        /// flannel's configuration; left out, the course's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flannel: Option<FlannelConfig>,
    },
    /// A cluster and all that is in it. Refused while it has containers, unless `force`.
    DeleteCluster {
        /// Which.
        cluster: ClusterName,
        /// Also where containers run in it.
        #[serde(default)]
        force: bool,
    },
    /// One more worker.
    CreateWorker {
        /// Its name, such as `C0w4`.
        worker: NodeName,
    },
    /// A worker: its lease, its devices. Refused while it has containers, unless `force`.
    DeleteWorker {
        /// Which.
        worker: NodeName,
        /// Also where containers run on it.
        #[serde(default)]
        force: bool,
    },
    /// A scratch node.
    CreateScratch {
        /// Its name.
        node: NodeName,
    },
    /// A scratch node.
    DeleteScratch {
        /// Which.
        node: NodeName,
    },
    /// A container: a network namespace on a worker, joined to the pod network by CNI.
    CreateContainer {
        /// Its name with its worker.
        container: ContainerRef,
        /// Key and value pairs that selectors will choose by.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
        /// A program and its arguments, started in it at once and logged; none for an idle one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        command: Vec<String>,
    },
    /// A container and everything that runs in it.
    DeleteContainer {
        /// Which.
        container: ContainerRef,
    },
    /// A service: a virtual address whose connections every worker of the cluster spreads over endpoints.
    CreateService {
        /// Its name with its cluster.
        service: ServiceRef,
        /// What it is.
        spec: ServiceSpec,
        /// Also where there is one of that name: it becomes what `spec` says, its address kept where that says none.
        #[serde(default)]
        replace: bool,
    },
    /// A service.
    DeleteService {
        /// Which.
        service: ServiceRef,
    },
    /// An ingress: nginx on a worker, which leads requests to services by their host and path.
    CreateIngress {
        /// Its name with its cluster.
        ingress: IngressRef,
        /// What it is.
        spec: IngressSpec,
        /// Also where there is one of that name: it becomes what `spec` says.
        #[serde(default)]
        replace: bool,
    },
    /// An ingress.
    DeleteIngress {
        /// Which.
        ingress: IngressRef,
    },
    /// A site: a router on the cluster's first worker.
    CreateSite {
        /// Of which cluster.
        cluster: ClusterName,
        /// Which program the router is; none for the sandbox's own choice.
        #[serde(default)]
        interconnect: Option<Interconnect>,
    },
    /// A site with all that it has. Refused while something uses it, unless `force`: that goes, too.
    DeleteSite {
        /// Of which cluster.
        cluster: ClusterName,
        /// Also where it has links, listeners or connectors, or links lead to it.
        #[serde(default)]
        force: bool,
    },
    /// A token, by which another site may link itself with the one that issues it, once.
    CreateToken {
        /// Its name with the cluster whose site issues it.
        token: TokenRef,
        /// How long it is good for.
        seconds: u32,
    },
    /// A token; the link that it was redeemed for stays.
    DeleteToken {
        /// Which.
        token: TokenRef,
    },
    /// A link from a site to another one.
    CreateLink {
        /// Its name with the cluster that it leads from.
        link: LinkRef,
        /// Where it leads to.
        spec: LinkSpec,
        /// The token of the other site's that is redeemed; none where both sites are the caller's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
    },
    /// A link; flows over it end.
    DeleteLink {
        /// Which.
        link: LinkRef,
    },
    /// A listener.
    CreateListener {
        /// Its name with its cluster.
        listener: ListenerRef,
        /// What it is.
        spec: ListenerSpec,
    },
    /// A listener.
    DeleteListener {
        /// Which.
        listener: ListenerRef,
    },
    /// A connector.
    CreateConnector {
        /// Its name with its cluster.
        connector: ConnectorRef,
        /// What it is.
        spec: ConnectorSpec,
    },
    /// A connector.
    DeleteConnector {
        /// Which.
        connector: ConnectorRef,
    },
    /// Any link up or down, `ip link set DEV up|down`.
    SetLink {
        /// Which.
        interface: InterfaceRef,
        /// Up or down.
        up: bool,
    },
    /// Gives a cluster another flannel configuration and restarts its agents. Addresses change, so its
    /// containers are made anew, their commands started again.
    SetFlannel {
        /// Which cluster.
        cluster: ClusterName,
        /// The new configuration.
        config: FlannelConfig,
    },
    /// Whether a node's agents mend what somebody else changed.
    SetRepair {
        /// Which node: a worker, or another one, of which only the node's own network is mended.
        worker: NodeName,
        /// On or off.
        on: bool,
    },
    /// Makes what is there equal to a topology file, as far as the file owns it.
    Apply {
        /// The file's content.
        topology: Topology,
    },
}

impl std::fmt::Display for Operation {
    /// The operation as a command would say it, for messages: `create container C0w1.c1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operation::CreateCluster { cluster, .. } => write!(f, "create cluster {cluster}"),
            Operation::DeleteCluster { cluster, .. } => write!(f, "delete cluster {cluster}"),
            Operation::CreateWorker { worker } => write!(f, "create worker {worker}"),
            Operation::DeleteWorker { worker, .. } => write!(f, "delete worker {worker}"),
            Operation::CreateScratch { node } => write!(f, "create scratch {node}"),
            Operation::DeleteScratch { node } => write!(f, "delete scratch {node}"),
            Operation::CreateContainer { container, .. } => write!(f, "create container {container}"),
            Operation::DeleteContainer { container } => write!(f, "delete container {container}"),
            Operation::CreateService { service, .. } => write!(f, "create service {service}"),
            Operation::DeleteService { service } => write!(f, "delete service {service}"),
            Operation::CreateIngress { ingress, .. } => write!(f, "create ingress {ingress}"),
            Operation::DeleteIngress { ingress } => write!(f, "delete ingress {ingress}"),
            Operation::CreateSite { cluster, .. } => write!(f, "create site {cluster}"),
            Operation::DeleteSite { cluster, .. } => write!(f, "delete site {cluster}"),
            Operation::CreateToken { token, .. } => write!(f, "create token {token}"),
            Operation::DeleteToken { token } => write!(f, "delete token {token}"),
            Operation::CreateLink { link, .. } => write!(f, "create link {link}"),
            Operation::DeleteLink { link } => write!(f, "delete link {link}"),
            Operation::CreateListener { listener, .. } => write!(f, "create listener {listener}"),
            Operation::DeleteListener { listener } => write!(f, "delete listener {listener}"),
            Operation::CreateConnector { connector, .. } => write!(f, "create connector {connector}"),
            Operation::DeleteConnector { connector } => write!(f, "delete connector {connector}"),
            Operation::SetLink { interface, up } => {
                write!(f, "set link {interface} {}", if *up { "up" } else { "down" })
            }
            Operation::SetFlannel { cluster, .. } => write!(f, "set flannel {cluster}"),
            Operation::SetRepair { worker, on } => write!(f, "repair {} {worker}", if *on { "on" } else { "off" }),
            Operation::Apply { .. } => write!(f, "apply"),
        }
    }
}
