//! A cluster for tests: real etcd members and nodes with agents, in namespaces of the test's own.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use knetsim_kernel::NetNs;
use knetsim_kernel::monitor::Monitor;
use knetsim_kernel::namespaces::{Spaces, enter_new};
use knetsim_kernel::netlink::{Bridge, Mac, Netlink, Veth};
use knetsim_model::NodeName;
use knetsim_model::flannel::FlannelConfig;
use knetsim_overlay::{Agent, AgentError, AgentSpec, AgentState, Clock, Etcd};
use knetsim_testing::{in_namespaces, run};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// etcd members and the switch, which bears their addresses, in the test's own namespace.
pub(crate) struct Cluster {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) base: NetNs,
    members: Vec<(NodeName, Ipv4Addr)>,
    etcd: Vec<Option<Child>>,
}

/// A node; its agent is told what the kernel announces.
pub(crate) struct Node {
    pub(crate) namespace: NetNs,
    pub(crate) netlink: Netlink,
    pub(crate) files: Dir,
    pub(crate) agent: Arc<Agent>,
    monitor: AbortHandle,
}

pub(crate) fn test(work: impl AsyncFnOnce()) {
    in_namespaces(|| Runtime::new().unwrap().block_on(work()));
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let held = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, held).await.is_ok(), "never: {what}");
}

impl Cluster {
    /// One with so many members, whose configuration is the course's.
    pub(crate) async fn start(members: u8) -> Self {
        let cluster = Cluster::start_bare(members).await;
        cluster.client().await.put_config(&FlannelConfig::default()).await.unwrap();
        cluster
    }

    /// One whose members answer.
    pub(crate) async fn start_bare(members: u8) -> Self {
        run(&["ip", "link", "set", "lo", "up"]);
        let base = NetNs::current().unwrap();
        let netlink = base.netlink().unwrap();
        // One that bears addresses must not take those of ports that come later: neighbours would not notice.
        let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        let switch = netlink.add_bridge(&Bridge { name: "eth0", up: true, mac, ..Bridge::default() }).unwrap();
        let members: Vec<_> = (1..=members)
            .map(|number| (["C0e1", "C0e2", "C1e1"][usize::from(number) - 1], Ipv4Addr::new(10, 1, 0, number)))
            .map(|(name, address)| (name.parse().unwrap(), address))
            .collect();
        for (_, address) in &members {
            netlink.add_address(switch, ipnet::IpNet::new_assert((*address).into(), 8)).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let etcd = members.iter().map(|_| None).collect();
        let mut cluster = Cluster { folder, base, members, etcd };
        cluster.start_etcd();
        cluster.answers().await;
        cluster
    }

    /// Starts the members that do not run.
    pub(crate) fn start_etcd(&mut self) {
        for ((name, _), child) in self.members.iter().zip(&mut self.etcd) {
            if child.is_some() {
                continue;
            }
            let argv = knetsim_overlay::etcd_command(&"C0".parse().unwrap(), name, &self.members);
            let data = self.folder.path().join(name.as_str()).display().to_string();
            // All members share a namespace here, and the test's machine.
            let here = |word: &String| word.replace(",http://127.0.0.1:2379", "").replace("/var/lib/etcd/data", &data);
            let argv: Vec<_> = argv.iter().map(here).collect();
            let log = std::fs::File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
            let mut command = Command::new(&argv[0]);
            command.args(&argv[1..]).envs(knetsim_overlay::etcd_environment()).stdout(Stdio::null()).stderr(log);
            *child = Some(command.spawn().expect("etcd (package etcd-server) starts"));
        }
    }

    /// Kills the members of these indices.
    pub(crate) fn kill_etcd(&mut self, which: impl IntoIterator<Item = usize>) {
        for index in which {
            let mut child = self.etcd[index].take().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A client of all members.
    pub(crate) async fn client(&self) -> Etcd {
        let addresses: Vec<_> = self.members.iter().map(|(_, address)| *address).collect();
        Etcd::new(&self.base, &addresses).await.unwrap()
    }

    /// A client of one.
    pub(crate) async fn client_of(&self, index: usize) -> Etcd {
        Etcd::new(&self.base, &[self.members[index].1]).await.unwrap()
    }

    /// Waits until each member answers a put.
    pub(crate) async fn answers(&self) {
        for index in 0..self.members.len() {
            let client = self.client_of(index).await;
            until("etcd answers", async || client.put("/test", "x").await.is_ok()).await;
        }
    }

    pub(crate) fn etcdctl(&self, arguments: &[&str]) -> String {
        run(&[&["etcdctl", "--endpoints=http://10.1.0.1:2379"], arguments].concat())
    }

    /// A node joined to the switch, without an agent: what one needs.
    pub(crate) async fn spec(&self, number: u8) -> (NetNs, AgentSpec) {
        let namespace = std::thread::spawn(|| {
            enter_new(Spaces::CLONE_NEWNET).unwrap();
            NetNs::current().unwrap()
        });
        let namespace = namespace.join().unwrap();
        let base = self.base.netlink().unwrap();
        let master = base.link("eth0").unwrap().unwrap().index;
        let name = format!("w{number}");
        let veth = Veth {
            name: &name,
            master: Some(master),
            up: true,
            peer_name: "eth0",
            peer_index: Some(2),
            peer_namespace: Some(&namespace),
            ..Veth::default()
        };
        let port = base.add_veth(&veth).unwrap().index;
        let netlink = namespace.netlink().unwrap();
        let public_ip = Ipv4Addr::new(10, 0, 0, number);
        netlink.set_up(1, true).unwrap();
        netlink.set_up(2, true).unwrap();
        netlink.add_address(2, ipnet::IpNet::new_assert(public_ip.into(), 8)).unwrap();
        // Until then the switch drops what the node sends.
        base.wait_running(port).await.unwrap();
        let files = self.folder.path().join(&name);
        std::fs::create_dir_all(files.join("run")).unwrap();
        std::fs::create_dir_all(files.join("var/log")).unwrap();
        let members: Vec<_> = self.members.iter().map(|(_, address)| *address).collect();
        let spec = AgentSpec {
            node: format!("C0w{number}").parse().unwrap(),
            public_ip,
            netlink,
            files: Dir::open_ambient_dir(&files, ambient_authority()).unwrap(),
            etcd: Etcd::new(&namespace, &members).await.unwrap(),
            names: Arc::new(|address| format!("C0w{}", address.octets()[3]).parse().ok()),
            held: Arc::new(std::collections::BTreeSet::new),
            clock: Clock::default(),
        };
        (namespace, spec)
    }

    /// A node whose agent is ready.
    pub(crate) async fn node(&self, number: u8) -> Node {
        let (namespace, spec) = self.spec(number).await;
        Node::start(namespace, spec).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.etcd.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.monitor.abort();
    }
}

impl Node {
    pub(crate) async fn start(namespace: NetNs, spec: AgentSpec) -> Result<Self, AgentError> {
        let (netlink, files) = (spec.netlink.clone(), spec.files.try_clone().unwrap());
        let mut monitor = Monitor::start(&namespace).await.unwrap();
        let agent = Arc::new(Agent::start(spec, PATIENCE).await?);
        let told = agent.clone();
        let monitor = tokio::spawn(async move {
            while let Ok(change) = monitor.next().await {
                told.changed(&change);
            }
        });
        Ok(Node { namespace, netlink, files, agent, monitor: monitor.abort_handle() })
    }

    /// Its device's address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.agent.state().subnet.unwrap().network()
    }

    /// Runs a program in its namespace; what it wrote.
    pub(crate) fn run(&self, command: &str) -> String {
        self.namespace.run(|| run(&command.split(' ').collect::<Vec<_>>())).unwrap()
    }

    /// The hardware address of one of its links.
    pub(crate) async fn mac(&self, link: &str) -> String {
        self.netlink.link(link).unwrap().unwrap().mac
    }

    pub(crate) fn pings(&self, to: Ipv4Addr) -> bool {
        let ping = || Command::new("ping").args(["-c1", "-W1", &to.to_string()]).output();
        let Output { status, .. } = self.namespace.run(ping).unwrap().unwrap();
        status.success()
    }

    /// Waits until it leads to another one.
    pub(crate) async fn knows(&self, other: &Node) {
        self.agent.ready(&[other.agent.state().subnet.unwrap()], PATIENCE).await.unwrap();
    }

    /// Waits until its agent is in a state.
    pub(crate) async fn until(&self, what: &str, state: impl Fn(&AgentState) -> bool) {
        let reached = async {
            while !state(&self.agent.state()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, reached).await.is_ok(), "{what}: {:?}", self.agent.state());
    }
}
