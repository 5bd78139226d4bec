//! A node's network against the kernel, in a namespace of the test's own.

use knetsim_kernel::monitor::Monitor;
use knetsim_kernel::netns::NetNs;
use knetsim_model::Owner;
use knetsim_testing::{in_namespaces, run};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::*;
use crate::plan::NodePlan;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

struct Node {
    network: Arc<NodeNetwork>,
    namespace: NetNs,
}

/// On a worker that has all that it is given and whose network is looked at so often; nothing is announced to it yet.
fn on_a_worker<F: Future>(look: Duration, test: impl FnOnce(Node) -> F) {
    in_namespaces(|| {
        Runtime::new().unwrap().block_on(async {
            // The peer is made first: it gets the first number after that of `lo`.
            ip("link add port type veth peer name eth0");
            ip("link set port up");
            let namespace = NetNs::current().unwrap();
            let netlink = namespace.netlink().unwrap();
            let name: NodeName = "C0w1".parse().unwrap();
            let address = [10, 0, 0, 3].into();
            let plan = NodePlan { name: name.clone(), owner: Owner::User, number: 3, address, prefix: 8 };
            let given = Given::of(&plan, Some("11.0.0.0/8".parse().unwrap()));
            netlink.apply(given.requests()).unwrap();
            let network = Arc::new(NodeNetwork::start_with(name, netlink, given, look));
            test(Node { network, namespace }).await
        });
    });
}

fn ip(arguments: &str) -> String {
    run(&[&["ip"], &arguments.split(' ').collect::<Vec<_>>()[..]].concat())
}

/// The routes of the table `main`, whoever made them.
fn routes() -> Vec<String> {
    let mut routes: Vec<_> =
        ip("route").lines().map(|line| line.replace("proto kernel ", "").trim().to_owned()).collect();
    routes.sort();
    routes
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let held = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(Duration::from_secs(15), held).await.is_ok(), "never: {what}; {:?}", routes());
}

impl Node {
    /// Has the kernel's announcements reach it.
    async fn announce(&self) {
        let (network, mut monitor) = (self.network.clone(), Monitor::start(&self.namespace).await.unwrap());
        tokio::spawn(async move {
            while let Ok(change) = monitor.next().await {
                network.changed(&change);
            }
        });
    }

    async fn shows(&self, drift: &[&str]) {
        until(&format!("{drift:?}"), || self.network.drift() == drift).await;
    }
}

const SERVICES: &str = "C0w1 has no route to 100.64.0.0/16 (dev eth0)";
const PODS: &str = "C0w1 has no route to 11.0.0.0/8 (throw)";
const DEFAULT: &str = "C0w1 has no route to default (dev eth0)";

#[test]
fn with_repair_off_the_cable_brings_back_what_it_took_and_nothing_else() {
    on_a_worker(NEVER, async |node| {
        node.announce().await;
        node.network.set_repair(false);
        let whole = routes();
        for flap in ["by hand", "by knetsim"] {
            ip("link set eth0 down");
            node.shows(&["C0w1's eth0 is down"]).await;
            ip("link set eth0 up");
            if flap == "by knetsim" {
                node.network.came_back().unwrap();
            }
            until(flap, || routes() == whole).await;
            node.shows(&[]).await;
        }
        // What somebody deleted before.
        ip("route del 100.64.0.0/16");
        node.shows(&[SERVICES]).await;
        ip("route del throw 11.0.0.0/8");
        node.shows(&[SERVICES, PODS]).await;
        let left = routes();
        for pause in [true, false] {
            ip("link set eth0 down");
            if pause {
                node.shows(&["C0w1's eth0 is down"]).await;
            }
            ip("link set eth0 up");
            until("the default route is back", || routes() == left).await;
            node.shows(&[SERVICES, PODS]).await;
            assert_eq!(routes(), left);
        }
        // In one go, so that it is not looked at in between.
        run(&["sh", "-c", "ip route del default; ip link set eth0 down; ip link set eth0 up"]);
        node.shows(&[DEFAULT, SERVICES, PODS]).await;
        node.network.set_repair(true);
        node.shows(&[]).await;
        assert_eq!(routes(), whole);
    });
}

#[test]
fn it_is_looked_at_when_nothing_is_announced() {
    on_a_worker(Duration::from_millis(100), async |node| {
        let whole = routes();
        ip("route del default");
        until("the route is back", || routes() == whole).await;
        // One that is down when it is looked at was down, announced or not.
        node.network.set_repair(false);
        ip("link set eth0 down");
        node.shows(&["C0w1's eth0 is down"]).await;
        ip("link set eth0 up");
        until("all is back", || routes() == whole).await;
    });
}

#[test]
fn it_is_looked_at_again_after_a_look_that_failed() {
    on_a_worker(NEVER, async |node| {
        let whole = routes();
        // No route takes an address as its source that isn't one of the node's.
        ip("route del local 10.0.0.3 dev eth0 table local");
        ip("route del 10.0.0.0/8");
        node.network.set_repair(true);
        until("it failed", || node.network.drift().iter().any(|words| words.contains("set route 10.0.0.0/8"))).await;
        ip("route add local 10.0.0.3 dev eth0 table local");
        until("the route is back", || routes() == whole).await;
        node.shows(&[]).await;
    });
}

#[test]
fn the_pods_network_may_become_another_one() {
    on_a_worker(NEVER, async |node| {
        node.network.set_repair(false);
        let whole = routes();
        // The same again, and another.
        node.network.set_pod_network("11.0.0.0/8".parse().unwrap()).unwrap();
        assert_eq!(routes(), whole);
        node.network.set_pod_network("12.0.0.0/8".parse().unwrap()).unwrap();
        assert!(routes().contains(&"throw 12.0.0.0/8".to_owned()), "{:?}", routes());
        assert_eq!(routes().len(), whole.len());
        node.shows(&[]).await;
    });
}
