//! An agent against the kernel, in namespaces of the tests' own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are parts of tests")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use knetsim_kernel::monitor::Monitor;
use knetsim_kernel::netns::NetNs;
use knetsim_kernel::nft;
use knetsim_model::ServiceName;
use knetsim_model::service::Layout;
use knetsim_services::{Agent, AgentSpec, Desired, Service};
use knetsim_testing::in_namespaces;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

fn inside<F: Future>(test: impl FnOnce(NetNs, Arc<Agent>) -> F) {
    in_namespaces(|| {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let namespace = NetNs::current().unwrap();
            let spec = AgentSpec {
                node: "C0w1".parse().unwrap(),
                address: Ipv4Addr::new(10, 0, 0, 3),
                namespace: namespace.clone(),
            };
            let agent = Arc::new(Agent::start(spec));
            let (told, mut monitor) = (agent.clone(), Monitor::start(&namespace).await.unwrap());
            tokio::spawn(async move {
                while let Ok(change) = monitor.next().await {
                    told.changed(&change)
                }
            });
            test(namespace, agent).await
        });
    });
}

fn service(number: u8, ports: &[&str], backends: &[u8]) -> Service {
    Service {
        vip: Ipv4Addr::new(100, 64, 10, number),
        ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
        affinity: None,
        backends: backends.iter().map(|number| Ipv4Addr::new(11, 10, 0, *number)).collect(),
        layout: Layout::Chains,
    }
}

/// One by maps.
fn mapped(number: u8, ports: &[&str], backends: &[u8]) -> Service {
    Service { layout: Layout::Maps, ..service(number, ports, backends) }
}

fn desired<const N: usize>(services: [(&str, Service); N]) -> Arc<Desired> {
    let services = services.map(|(name, service)| (name.parse::<ServiceName>().unwrap(), Arc::new(service)));
    Arc::new(Desired { pod_network: "11.0.0.0/8".parse().unwrap(), services: BTreeMap::from(services) })
}

async fn listed(namespace: &NetNs) -> String {
    nft::table_text(namespace, "kube-proxy").await.unwrap().unwrap_or_default()
}

/// Waits until the table, or the agent's own words about it, are as `right` says.
async fn until(agent: &Agent, namespace: &NetNs, what: &str, right: impl Fn(&str, &[String]) -> bool) {
    let wait = async {
        while !right(&listed(namespace).await, &agent.drift()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(Duration::from_secs(10), wait).await.is_err() {
        panic!("{what}: {:?}\n{}", agent.drift(), listed(namespace).await);
    }
}

/// Has the agent look although nothing was announced, and gives what it says.
async fn look(agent: &Agent, namespace: &NetNs) -> Vec<String> {
    // Another table's change moves the generation: the agent can't know that it was elsewhere.
    nft::load(namespace, "add table ip other\ndelete table ip other\n".to_owned()).await.unwrap();
    agent.set_repair(false);
    sleep(Duration::from_millis(300)).await;
    agent.drift()
}

#[test]
fn what_is_listed_is_what_was_programmed() {
    inside(async |namespace, agent| {
        let mut sticky = service(4, &["80", "443:8443"], &[2, 3]);
        sticky.affinity = Some(10_800);
        let all = desired([
            ("web", service(1, &["http=80:8000"], &[2, 3, 4])),
            ("dns", service(2, &["53/udp", "53"], &[2])),
            ("ping", service(3, &[], &[2, 3])),
            ("sticky", sticky),
            ("none", service(5, &["80"], &[])),
            ("nothing", service(6, &[], &[])),
            ("many", service(7, &["80"], &(2..200).collect::<Vec<_>>())),
            ("maps", mapped(8, &["80:8000", "53/udp"], &[2, 3, 4])),
            ("maps-too", mapped(9, &["80"], &[2, 3])),
            ("maps-none", mapped(10, &["80"], &[])),
            ("maps-many", mapped(11, &["80"], &(2..200).collect::<Vec<_>>())),
        ]);
        agent.program(&all).await.unwrap();
        assert_eq!(look(&agent, &namespace).await, Vec::<String>::new());
        let text = listed(&namespace).await;
        for line in [
            "ip daddr . meta l4proto . th dport vmap @service-ips",
            "meta l4proto tcp dnat to 11.10.0.2:8000",
            "100.64.10.5 . tcp . 80 comment \"default/none\" : goto reject-chain",
            "update @affinity-",
            "masquerade fully-random",
            "comment \"knetsim: every port and ICMP\"",
            "dnat to ip daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints-3:",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    });
}

#[test]
fn a_change_touches_only_what_differs() {
    inside(async |namespace, agent| {
        let before = desired([("web", service(1, &["80"], &[2, 3])), ("other", service(2, &["80"], &[4]))]);
        agent.program(&before).await.unwrap();
        let handles = async || {
            let all = nft::ruleset(&namespace).await.unwrap();
            let rules: Vec<_> =
                all["nftables"].as_array().unwrap().iter().map(|object| object["rule"].clone()).collect();
            let rules = rules.into_iter().filter(|rule| rule["handle"].is_number());
            rules
                .map(|rule| (rule["handle"].as_u64().unwrap(), rule["chain"].as_str().unwrap().to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let (first, generation) = (handles().await, nft::generation(&namespace).unwrap());
        agent
            .program(&desired([("web", service(1, &["80"], &[3])), ("other", service(2, &["80"], &[4]))]))
            .await
            .unwrap();
        let second = handles().await;
        assert_eq!(nft::generation(&namespace).unwrap(), generation + 1, "one batch");
        let gone: Vec<_> =
            first.iter().filter(|(handle, _)| !second.contains_key(handle)).map(|(_, chain)| chain).collect();
        assert!(gone.iter().all(|chain| chain.contains("default/web/tcp/")), "{gone:?}");
        assert!(
            !gone.iter().any(|chain| chain.contains("__11.10.0.3")),
            "the endpoint that stays is rewritten: {gone:?}"
        );
        assert_eq!(gone.len(), 4, "two of the service's chain, two of the endpoint that left: {gone:?}");
        // An empty chain stays for a second.
        until(&agent, &namespace, "the stale chain goes", |text, _| !text.contains("__11.10.0.2")).await;
        assert_eq!(look(&agent, &namespace).await, Vec::<String>::new());
    });
}

#[test]
fn any_change_leaves_what_is_desired() {
    inside(async |namespace, agent| {
        let mut sticky = service(1, &["80"], &[2, 3]);
        sticky.affinity = Some(60);
        let mut longer = sticky.clone();
        longer.affinity = Some(3600);
        for services in [
            vec![("web", service(1, &["80"], &[2, 3]))],
            vec![("web", sticky)],
            vec![("web", longer)],
            vec![("web", service(1, &["80", "81"], &[3, 2])), ("dns", service(2, &["53/udp"], &[]))],
            vec![("web", service(2, &[], &[2])), ("dns", service(1, &["53/udp"], &[4]))],
            vec![("web", service(2, &["80"], &[])), ("dns", service(1, &[], &[]))],
            vec![("dns", service(1, &["80"], &[2, 3]))],
            vec![("web", service(1, &["80"], &[2, 3]))],
            vec![("web", mapped(1, &["80"], &[2, 3])), ("dns", mapped(2, &["53/udp", "80"], &[2, 3]))],
            vec![("web", mapped(1, &["80:81"], &[2, 3])), ("dns", mapped(2, &["53/udp"], &[2, 3, 4]))],
            vec![("web", mapped(1, &["80"], &[])), ("dns", service(2, &["53/udp"], &[2, 3, 4]))],
            vec![("web", mapped(2, &["80"], &[4]))],
            vec![("web", service(1, &["80"], &[2, 3]))],
        ] {
            let services = services.into_iter().map(|(name, service)| (name.parse().unwrap(), Arc::new(service)));
            let desired = Arc::new(Desired { services: services.collect(), pod_network: desired([]).pod_network });
            let generation = nft::generation(&namespace).unwrap();
            agent.program(&desired).await.unwrap();
            // A batch that failed would have been followed by another that rebuilt all.
            assert!(nft::generation(&namespace).unwrap() <= generation + 2, "{desired:?}");
            assert_eq!(look(&agent, &namespace).await, Vec::<String>::new(), "{desired:?}");
        }
        agent.program(&desired([])).await.unwrap();
        assert_eq!(listed(&namespace).await, "", "the table goes with the last service");
    });
}

#[test]
fn a_flushed_table_is_rebuilt_or_told() {
    inside(async |namespace, agent| {
        agent.program(&desired([("web", service(1, &["80"], &[2, 3]))])).await.unwrap();
        let whole = listed(&namespace).await;
        let spoil = async |command: &str| nft::load(&namespace, command.to_owned()).await.unwrap();
        let same = |text: &str| text.lines().eq(whole.lines());
        for command in [
            "flush ruleset\n",
            "flush chain ip kube-proxy services\n",
            "delete element ip kube-proxy service-ips { 100.64.10.1 . tcp . 80 }\n",
            "add rule ip kube-proxy services drop\n",
        ] {
            agent.set_repair(true);
            until(&agent, &namespace, "repair", |text, drift| same(text) && drift.is_empty()).await;
            spoil(command).await;
            until(&agent, &namespace, command, |text, drift| same(text) && drift.is_empty()).await;
            agent.set_repair(false);
            spoil(command).await;
            until(&agent, &namespace, command, |_, drift| !drift.is_empty()).await;
            assert!(!same(&listed(&namespace).await), "{command}: mended though it should not be");
        }
        // What a person asks for is programmed all the same.
        agent.program(&desired([("web", service(1, &["80"], &[2]))])).await.unwrap();
        until(&agent, &namespace, "a change", |text, _| text.contains("numgen random mod 1 ")).await;
        agent.set_repair(true);
        until(&agent, &namespace, "repair", |text, drift| drift.is_empty() && !text.contains("\t\tdrop\n")).await;
    });
}

/// More than the kernel takes in one message, however large a batch it allows.
#[test]
fn what_is_too_much_for_one_batch_takes_several() {
    inside(async |namespace, agent| {
        let backends: Vec<u8> = (2..250).collect();
        let number = |at: usize| u8::try_from(at).unwrap();
        // 248 endpoints are some 100 KB of commands.
        let count = nft::room().unwrap() / 100_000 + 2;
        let services = |first: usize, count: usize| {
            let one =
                |at: usize| (format!("s{at}").parse::<ServiceName>().unwrap(), service(number(at), &["80"], &backends));
            (first..first + count).map(one).map(|(name, service)| (name, Arc::new(service))).collect()
        };
        let all = |first, count| {
            Arc::new(Desired { pod_network: "11.0.0.0/8".parse().unwrap(), services: services(first, count) })
        };
        agent.program(&all(1, count)).await.unwrap();
        assert_eq!(look(&agent, &namespace).await, Vec::<String>::new());
        // All of it replaced by as much.
        agent.program(&all(1 + count, count)).await.unwrap();
        assert!(listed(&namespace).await.contains(&format!("default/s{}/tcp/__11.10.0.249/80", 2 * count)));
        agent.program(&desired([])).await.unwrap();
        assert_eq!(listed(&namespace).await, "");
    });
}

/// Servers of datagrams on this node, whose own flows take the same way as those of its containers.
struct Servers {
    sockets: BTreeMap<&'static str, UdpSocket>,
}

impl Servers {
    /// At two addresses of the pod network, with a client's beside them.
    fn start() -> Servers {
        for command in ["link set lo up", "address add 11.10.0.2/32 dev lo", "address add 11.10.0.3/32 dev lo"] {
            knetsim_testing::run(&[&["ip"], &command.split(' ').collect::<Vec<_>>()[..]].concat());
        }
        knetsim_testing::run(&["ip", "route", "add", "100.64.0.0/16", "dev", "lo", "src", "11.10.0.2"]);
        let socket = |address: &&'static str| {
            let socket = UdpSocket::bind(format!("11.10.0.{address}")).unwrap();
            socket.set_nonblocking(true).unwrap();
            (*address, socket)
        };
        Servers { sockets: ["2:8000", "2:8001", "2:53", "3:8000"].iter().map(socket).collect() }
    }

    /// Who gets what `client` sends to port 53 of the service.
    fn asked_by(&self, client: &UdpSocket) -> Option<&'static str> {
        // One that was refused before says so now.
        let _ = client.send_to(b"?", "100.64.10.1:53").or_else(|_| client.send_to(b"?", "100.64.10.1:53"));
        // The loopback device hands a datagram over before it returns.
        let got = |socket: &UdpSocket| socket.recv(&mut [0; 9]).is_ok();
        self.sockets.iter().find(|(_, socket)| got(socket)).map(|(name, _)| *name)
    }
}

#[test]
fn one_socket_is_led_as_the_rules_say_after_any_change() {
    inside(async |namespace, agent| {
        let servers = Servers::start();
        for (make, other) in
            [(service as fn(u8, &[&str], &[u8]) -> Service, mapped as fn(_, &[&str], &[u8]) -> _), (mapped, service)]
        {
            let old = make(1, &["53:8000/udp"], &[2]);
            let elsewhere = Service { vip: Ipv4Addr::new(100, 64, 10, 9), ..old.clone() };
            for (what, new, led) in [
                ("another target", vec![make(1, &["53:8001/udp"], &[2])], Some("2:8001")),
                ("another port", vec![make(1, &["54:8000/udp"], &[2])], None),
                ("TCP alone", vec![make(1, &["53:8000"], &[2])], None),
                ("another endpoint", vec![make(1, &["53:8000/udp"], &[3])], Some("3:8000")),
                ("no endpoint", vec![make(1, &["53:8000/udp"], &[])], None),
                ("every port", vec![service(1, &[], &[2])], Some("2:53")),
                ("another address", vec![elsewhere], None),
                ("another layout", vec![other(1, &["53:8000/udp"], &[2])], Some("2:8000")),
                ("no service", vec![], None),
            ] {
                for others in [vec![], vec![service(7, &["80"], &[2])]] {
                    let all = |first: Vec<Service>| {
                        let all = first.into_iter().chain(others.clone()).enumerate();
                        let named = all.map(|(at, service)| (format!("s{at}").parse().unwrap(), Arc::new(service)));
                        Arc::new(Desired { services: named.collect(), ..(*desired([])).clone() })
                    };
                    agent.program(&all(vec![old.clone()])).await.unwrap();
                    let client = UdpSocket::bind("11.10.0.2:0").unwrap();
                    assert_eq!(servers.asked_by(&client), Some("2:8000"), "before {what}");
                    assert_eq!(servers.asked_by(&client), Some("2:8000"), "before {what}");
                    agent.program(&all(new.clone())).await.unwrap();
                    assert_eq!(servers.asked_by(&client), led, "{what}");
                }
            }
            // Back from a service of every port.
            agent.program(&desired([("web", service(1, &[], &[2]))])).await.unwrap();
            let client = UdpSocket::bind("11.10.0.2:0").unwrap();
            assert_eq!(servers.asked_by(&client), Some("2:53"));
            agent.program(&desired([("web", old.clone())])).await.unwrap();
            assert_eq!(servers.asked_by(&client), Some("2:8000"));
            agent.program(&desired([])).await.unwrap();
        }
        // What was sent before there were rules, or while they were spoilt.
        let early = UdpSocket::bind("11.10.0.2:0").unwrap();
        assert_eq!(servers.asked_by(&early), None);
        let all = desired([("web", service(1, &["53:8000/udp"], &[2]))]);
        agent.program(&all).await.unwrap();
        assert_eq!(servers.asked_by(&early), Some("2:8000"));
        // An endpoint's rules are others. Without any, the request would be rejected, and the kernel would track no flow.
        let table = listed(&namespace).await;
        let endpoint = table.lines().find_map(|line| line.trim().strip_prefix("chain endpoint-")).unwrap();
        let endpoint = format!("endpoint-{}", endpoint.trim_end_matches(" {"));
        let leading_to = |port: u16| {
            format!(
                "flush chain ip kube-proxy {endpoint}\n\
                 add rule ip kube-proxy {endpoint} ip saddr 11.10.0.2 jump mark-for-masquerade\n\
                 add rule ip kube-proxy {endpoint} meta l4proto udp dnat to 11.10.0.2:{port}\n"
            )
        };
        let led = async |client: &UdpSocket, what: &str| {
            let led = async {
                while servers.asked_by(client) != Some("2:8000") {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(Duration::from_secs(10), led).await.expect(what);
        };
        agent.set_repair(false);
        nft::load(&namespace, leading_to(8001)).await.unwrap();
        let by_hand = UdpSocket::bind("11.10.0.2:0").unwrap();
        assert_eq!(servers.asked_by(&by_hand), Some("2:8001"));
        until(&agent, &namespace, "drift", |_, drift| !drift.is_empty()).await;
        nft::load(&namespace, leading_to(8000)).await.unwrap();
        led(&by_hand, "the flow is led as the rules say that a person has mended").await;
        until(&agent, &namespace, "no drift", |_, drift| drift.is_empty()).await;
        nft::load(&namespace, leading_to(8001)).await.unwrap();
        let spoilt = UdpSocket::bind("11.10.0.2:0").unwrap();
        assert_eq!(servers.asked_by(&spoilt), Some("2:8001"));
        agent.set_repair(true);
        led(&spoilt, "the flow is led as the mended rules say").await;
    });
}
