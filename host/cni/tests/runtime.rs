//! The runtime in process, on nodes of the tests' own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use common::{Node, SUBNET_ENV, in_namespaces, inside, write};
use knetsim_cni::{Attachment, Error, NetworkList};
use knetsim_kernel::namespaces::{Spaces, enter_new};
use knetsim_testing::run;
use serde_json::{Value, json};

/// The bridge plugin's configuration as the flannel plugin writes it, changed in some fields.
fn bridge(node: &str, changes: Value) -> NetworkList {
    let mut config = json!({"cniVersion": "1.1.0", "name": node, "type": "bridge", "isDefaultGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "11.10.128.0/20"}]], "routes": [{"dst": "11.0.0.0/8"}]}});
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    NetworkList::parse(config.to_string().as_bytes()).unwrap()
}

fn links(namespace: &str) -> Vec<String> {
    let links: Vec<Value> = serde_json::from_str(&inside(namespace, &["ip", "-j", "link"])).unwrap();
    links.iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
}

/// Polls until a condition holds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}");
}

/// The first packets of all pass: none waits a second for ARP to be asked again.
#[test]
fn packets_pass_as_soon_as_add_is_done() {
    in_namespaces(async || {
        for number in 0..5 {
            let node = Node::new(&format!("n{number}"));
            let list = node.runtime.network(&node.name).unwrap();
            let any = |port| std::net::SocketAddr::from(([0, 0, 0, 0], port));
            let server = node.netns.udp(any(7)).unwrap();
            for id in ["c1", "c2"] {
                let container = node.container(id);
                let client = container.netns.as_ref().unwrap().udp(any(0)).unwrap();
                node.runtime.add(&list, &container).await.unwrap();
                let echo = async {
                    let mut buffer = [0; 8];
                    client.send_to(b"hello", "11.10.128.1:7").await.unwrap();
                    let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                    server.send_to(&buffer[..length], from).await.unwrap();
                    client.recv(&mut buffer).await.unwrap()
                };
                tokio::time::timeout(Duration::from_millis(700), echo).await.expect("an echo at once");
            }
        }
    });
}

#[test]
fn a_container_reaches_the_next_one_at_once() {
    in_namespaces(async || {
        let node = Node::new("C0w1");
        let list = node.runtime.network("C0w1").unwrap();
        let (c1, c2) = (node.container("c1"), node.container("c2"));
        let first = node.runtime.add(&list, &c1).await.unwrap();
        inside("C0w1-c1", &["ping", "-c1", "-W1", "11.10.128.1"]);
        let second = node.runtime.add(&list, &c2).await.unwrap();
        inside("C0w1-c2", &["ping", "-c1", "-W1", "11.10.128.2"]);
        assert_eq!(second.address(), Some("11.10.128.3".parse().unwrap()));

        let json = first.to_json(list.version);
        assert_eq!(json["cniVersion"], "1.1.0");
        assert_eq!(json["ips"], json!([{"address": "11.10.128.2/20", "gateway": "11.10.128.1", "interface": 2}]));
        assert_eq!(json["routes"], json!([{"dst": "11.0.0.0/8"}, {"dst": "0.0.0.0/0", "gw": "11.10.128.1"}]));
        assert_eq!((&json["interfaces"][0]["name"], &json["interfaces"][2]["name"]), (&json!("cni0"), &json!("eth0")));
        assert_eq!(json["interfaces"][2]["sandbox"], "/run/netns/C0w1-c1");

        let files = node.files();
        let delegate: Value =
            serde_json::from_str(files["var/lib/cni/flannel/c1"].strip_prefix("600 ").unwrap()).unwrap();
        assert_eq!(
            delegate,
            json!({"cniVersion": "1.1.0", "name": "C0w1", "type": "bridge", "mtu": 1450, "ipMasq": false, "hairpinMode": true,
                "isGateway": true, "isDefaultGateway": true, "ipam": {"type": "host-local",
                "ranges": [[{"subnet": "11.10.128.0/20"}]], "routes": [{"dst": "11.0.0.0/8"}]}})
        );
        assert_eq!(files["var/lib/cni/networks/C0w1/11.10.128.2"], "600 c1\r\neth0");
        assert_eq!(files["var/lib/cni/networks/C0w1/last_reserved_ip.0"], "600 11.10.128.3");
        let kept: Value = serde_json::from_str(&files["var/lib/cni/results/C0w1-c1-eth0"][4..]).unwrap();
        assert_eq!((&kept["kind"], &kept["containerId"], &kept["result"]), (&json!("cniCacheV1"), &json!("c1"), &json));
        assert_eq!(kept["netns"], "/run/netns/C0w1-c1");

        for container in [&c1, &c1, &c2] {
            node.runtime.del(&list, container).await.unwrap();
        }
        assert_eq!(
            (links("C0w1"), links("C0w1-c1")),
            (vec!["lo".to_owned(), "cni0".to_owned()], vec!["lo".to_owned()])
        );
        let left: Vec<_> =
            node.files().into_keys().filter(|path| path.contains("/c1") || path.contains("/11.")).collect();
        assert_eq!(left, [] as [String; 0]);
    });
}

#[test]
fn an_add_that_fails_leaves_nothing() {
    in_namespaces(async || {
        let node = Node::new("n");
        let good = node.runtime.network("n").unwrap();
        let state = |id: &str| {
            let mut files = node.files();
            // What says which address is next is no claim on one.
            files.retain(|path, content| {
                !path.contains("last_reserved_ip") && !path.ends_with("/lock") && content != "755 " && content != "700 "
            });
            let addresses = inside("n", &["ip", "-o", "-4", "address"]);
            (links("n"), addresses, inside(&format!("n-{id}"), &["ip", "-o", "address"]), files)
        };
        let fails = async |list: &NetworkList, id: &str, prepare: &[&str], code: u32, words: &str| {
            let container = node.container(id);
            if !prepare.is_empty() {
                inside(&format!("n-{id}"), prepare);
            }
            let before = state(id);
            let error = node.runtime.add(list, &container).await.unwrap_err();
            assert!(error.code() == code && error.to_string().contains(words), "{words}: {error:?}");
            assert_eq!(state(id), before, "{words}");
        };

        // With the bridge missing: it goes again, too.
        let taken = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other"];
        fails(&good, "taken", &taken, 999, "has an interface `eth0` already").await;
        let route = json!([{"dst": "192.0.2.0/24", "mtu": 1400}]);
        let ipam = json!({"type": "host-local", "subnet": "11.10.128.0/20", "routes": route});
        fails(&bridge("n", json!({"ipam": ipam})), "route", &[], 2, "mtu = 1400").await;
        fails(&bridge("n", json!({"vlan": 5})), "vlan", &[], 2, "vlan = 5").await;
        let full = json!({"type": "host-local", "subnet": "11.10.128.0/30", "rangeEnd": "11.10.128.1"});
        fails(&bridge("n", json!({"ipam": full})), "full", &[], 999, "no address is free in 11.10.128.1-11.10.128.1")
            .await;
        let unreachable = json!({"type": "host-local", "subnet": "11.10.128.0/20", "routes": [{"dst": "1.2.3.0/24", "gw": "9.9.9.9"}]});
        fails(&bridge("n", json!({"ipam": unreachable})), "unreachable", &[], 999, "set route 1.2.3.0/24").await;
        fails(&bridge("n", json!({"runtimeConfig": {"mac": "x"}})), "mac", &[], 7, "no hardware address").await;

        // A bridge that served somebody stays, as DEL leaves it.
        let first = node.container("first");
        node.runtime.add(&good, &first).await.unwrap();
        node.runtime.del(&good, &first).await.unwrap();
        // The second plugin of a chain: the first one's work is undone.
        let chain = json!({"cniVersion": "1.1.0", "name": "n", "plugins": [{"type": "flannel"}, {"type": "absent"}]});
        let chain = NetworkList::parse(chain.to_string().as_bytes()).unwrap();
        fails(&chain, "chain", &[], 7, "no plugin of type `absent`").await;
        // The last step of all.
        fs::remove_dir(node.root.join("var/lib/cni/results")).unwrap();
        write(&node.root.join("var/lib/cni/results"), "in the way");
        fails(&good, "kept", &[], 5, "var/lib/cni/results").await;
        fs::remove_file(node.root.join("var/lib/cni/results")).unwrap();

        // A bridge with an address of its own.
        inside("n", &["ip", "address", "flush", "dev", "cni0"]);
        inside("n", &["ip", "address", "add", "192.0.2.1/24", "dev", "cni0"]);
        fails(&good, "clash", &[], 999, "has address 192.0.2.1/24 already").await;
        let forced = bridge("n", json!({"forceAddress": true}));
        node.runtime.add(&forced, &node.container("forced")).await.unwrap();
        // The second add of one container leaves the first alone.
        let again = Attachment::new(
            "forced",
            Some(knetsim_kernel::NetNs::open(&common::path_of("n-forced")).unwrap()),
            "/run/netns/n-forced",
        );
        assert!(node.runtime.add(&forced, &again).await.unwrap_err().to_string().contains("ADD was called twice"));
        node.runtime.check(&forced, &again).await.unwrap();

        fs::remove_file(node.root.join("run/flannel/subnet.env")).unwrap();
        fails(&good, "early", &[], 999, "flannel has leased no subnet on this node yet").await;
    });
}

#[test]
fn check_notices_what_is_missing() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        let container = node.container("c1");
        let result = node.runtime.add(&list, &container).await.unwrap();
        let port = result.interfaces[1].name.as_str();
        let check = async || node.runtime.check(&list, &container).await.map_err(|error| error.to_string());
        check().await.unwrap();

        inside("n-c1", &["ip", "route", "delete", "11.0.0.0/8"]);
        assert_eq!(check().await.unwrap_err(), "route to 11.0.0.0/8 is missing in the container");
        inside("n-c1", &["ip", "address", "add", "11.10.128.9/20", "dev", "eth0"]);
        inside("n-c1", &["ip", "address", "delete", "11.10.128.2/20", "dev", "eth0"]);
        assert_eq!(check().await.unwrap_err(), "address 11.10.128.2/20 is missing in the container");
        inside("n", &["ip", "link", "set", port, "nomaster"]);
        assert_eq!(check().await.unwrap_err(), format!("{port} is not a port of cni0"));
        inside("n-c1", &["ip", "link", "set", "eth0", "down", "address", "02:00:00:00:00:01"]);
        assert!(check().await.unwrap_err().starts_with("interface eth0 has address 02:00:00:00:00:01, not "));
        fs::remove_file(node.root.join("var/lib/cni/networks/n/11.10.128.2")).unwrap();
        assert_eq!(check().await.unwrap_err(), "container c1 holds no address");
        fs::remove_file(node.root.join("var/lib/cni/flannel/c1")).unwrap();
        assert!(check().await.unwrap_err().ends_with("which ADD writes, is missing"));
    });
}

#[test]
fn gc_keeps_what_is_valid() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        let containers: Vec<_> = ["c1", "c2", "c3"].map(|id| node.container(id)).into();
        for container in &containers {
            node.runtime.add(&list, container).await.unwrap();
        }
        // Left by somebody who forgot.
        write(&node.root.join("var/lib/cni/networks/n/11.10.130.1"), "ghost\r\neth0");
        write(&node.root.join("var/lib/cni/flannel/ghost"), "{}");
        node.runtime.gc(&list, &containers[1..2]).await.unwrap();
        let left: Vec<_> = node.files().into_keys().filter(|path| path.matches('/').count() > 4).collect();
        let networks =
            ["11.10.128.3", "last_reserved_ip.0", "lock"].map(|name| format!("var/lib/cni/networks/n/{name}"));
        assert_eq!(left, networks);
        node.runtime.check(&list, &containers[1]).await.unwrap();
        assert!(
            node.root.join("var/lib/cni/results/n-c2-eth0").exists()
                && node.root.join("var/lib/cni/flannel/c2").exists()
        );
        assert!(
            !node.root.join("var/lib/cni/results/n-c1-eth0").exists()
                && !node.root.join("var/lib/cni/flannel/ghost").exists()
        );
    });
}

/// GC takes what it can, as DEL does: whatever the configuration says, without the subnet, which may be lost.
#[test]
fn gc_needs_neither_the_subnet_nor_options_that_add_takes() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        let containers: Vec<_> = ["c1", "c2"].map(|id| node.container(id)).into();
        for container in &containers {
            node.runtime.add(&list, container).await.unwrap();
        }
        let ghost = || {
            write(&node.root.join("var/lib/cni/networks/n/11.10.130.1"), "ghost\r\neth0");
            write(&node.root.join("var/lib/cni/flannel/ghost"), "{}");
        };
        let left = || {
            let files = ["var/lib/cni/networks/n/11.10.130.1", "var/lib/cni/flannel/ghost"];
            files.map(|path| node.root.join(path).exists())
        };
        let of = |delegate: Value| {
            let plugin = json!({"type": "flannel", "delegate": delegate});
            let list = json!({"cniVersion": "1.1.0", "name": "n", "plugins": [plugin]});
            NetworkList::parse(list.to_string().as_bytes()).unwrap()
        };
        fs::remove_file(node.root.join("run/flannel/subnet.env")).unwrap();
        for network in [list.clone(), of(json!({"name": "x", "ipam": {}, "vlan": 7, "mtu": "x"}))] {
            ghost();
            node.runtime.gc(&network, &containers).await.unwrap();
            assert_eq!(left(), [false, false]);
        }
        // What the other plugin could not do it can be asked for again.
        ghost();
        node.runtime.gc(&of(json!({"type": "none"})), &containers).await.unwrap_err();
        assert_eq!(left(), [true, true]);
        for container in &containers {
            assert!(node.root.join("var/lib/cni/flannel").join(&container.container_id).exists());
        }
    });
}

#[test]
fn a_network_s_name_leads_to_no_other_folder() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        let container = node.container("c1");
        node.runtime.add(&list, &container).await.unwrap();
        let kept = fs::read(node.root.join("var/lib/cni/results/n-c1-eth0")).unwrap();
        fs::write(node.root.join("var/lib/cni/x-c1-eth0"), kept).unwrap();
        for name in ["../x", "", "a/b", "."] {
            assert_eq!(node.runtime.network_of(name, &container).unwrap_err().code(), 4, "{name}");
        }
        node.runtime.network_of("n", &container).unwrap();
    });
}

#[test]
fn status_says_whether_containers_can_come() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        node.runtime.status(&list).await.unwrap();
        write(&node.root.join("run/flannel/subnet.env"), &SUBNET_ENV.replace("11.10.128.1/20", "11.10.128.1/30"));
        node.runtime.add(&list, &node.container("only")).await.unwrap();
        let error = node.runtime.status(&list).await.unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (50, "no address is free in 11.10.128.1-11.10.128.2"));
        fs::remove_file(node.root.join("run/flannel/subnet.env")).unwrap();
        assert_eq!(node.runtime.status(&list).await.unwrap_err().code(), 50);
    });
}

#[test]
fn addresses_are_asked_for_by_capability_and_by_argument() {
    in_namespaces(async || {
        let node = Node::new("n");
        let declared = bridge("n", json!({"capabilities": {"ips": true, "mac": true, "portMappings": false}}));
        let mut container = node.container("c1");
        container.capabilities =
            json!({"ips": ["11.10.128.77/20"], "mac": "02:00:00:00:00:77"}).as_object().unwrap().clone();
        let result = node.runtime.add(&declared, &container).await.unwrap();
        assert_eq!(result.address(), Some("11.10.128.77".parse().unwrap()));
        assert!(inside("n-c1", &["ip", "link", "show", "eth0"]).contains("02:00:00:00:00:77"));

        // What a plugin does not declare it does not get.
        let mut container = node.container("c2");
        container.capabilities = json!({"ips": ["11.10.128.80"]}).as_object().unwrap().clone();
        let result = node.runtime.add(&bridge("n", json!({"capabilities": {"ips": false}})), &container).await.unwrap();
        assert_eq!(result.address(), Some("11.10.128.78".parse().unwrap()));

        let mut container = node.container("c3");
        // Each of the two plugins knows one.
        let asked = [("IP", "11.10.128.90"), ("MAC", "02:00:00:00:00:90"), ("IgnoreUnknown", "1")];
        container.args = asked.map(|(key, value)| (key.into(), value.into())).into();
        let result = node.runtime.add(&bridge("n", json!({})), &container).await.unwrap();
        assert_eq!(
            (result.address(), result.interfaces[2].mac.as_str()),
            (Some("11.10.128.90".parse().unwrap()), "02:00:00:00:00:90")
        );
        for (ip, words) in
            [("11.10.128.90", "is taken"), ("11.10.128.1", "is the subnet's gateway"), ("192.0.2.1", "is in no range")]
        {
            let mut container = Attachment { ..container.clone() };
            container.container_id = "c4".into();
            container.args = vec![("IP".into(), ip.into()), ("IgnoreUnknown".into(), "1".into())];
            let error = node.runtime.add(&bridge("n", json!({})), &container).await.unwrap_err();
            assert!(error.to_string().ends_with(words), "{error}");
        }
    });
}

#[test]
fn masquerade_is_a_rule_for_each_container() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = bridge("n", json!({"ipMasq": true}));
        let containers = ["c1", "c2", "c3"].map(|id| node.container(id));
        for container in &containers {
            node.runtime.add(&list, container).await.unwrap();
        }
        let rules = || {
            let rules = inside("n", &["nft", "list", "table", "inet", "cni_plugins_masquerade"]);
            let rule = |line: &str| {
                line.trim().split_once(" comment ").map(|(rule, comment)| (rule.to_owned(), comment.to_owned()))
            };
            rules.lines().filter_map(rule).collect::<Vec<_>>()
        };
        let expected = |number: u32| format!("ip saddr 11.10.128.{number} ip daddr != 11.10.128.0/20 masquerade");
        assert_eq!(rules().iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>(), [2, 3, 4].map(expected));
        assert!(rules()[0].1.ends_with(", net: n, if: eth0, id: c1\""), "{:?}", rules()[0]);

        for _ in 0..2 {
            node.runtime.del(&list, &containers[0]).await.unwrap();
        }
        assert_eq!(rules().len(), 2);
        node.runtime.gc(&list, &containers[2..]).await.unwrap();
        assert_eq!(rules().iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>(), [expected(4)]);

        let iptables = bridge("n", json!({"ipMasq": true, "ipMasqBackend": "iptables"}));
        let error = node.runtime.add(&iptables, &node.container("c4")).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { key: "ipMasqBackend", .. }), "{error:?}");
    });
}

#[test]
fn a_node_s_root_cannot_mislead_the_runtime() {
    in_namespaces(async || {
        // An open that waits for a pipe's other end would wait for ever.
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(60));
            eprintln!("the runtime waits for a pipe");
            std::process::exit(1);
        });
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        node.runtime.add(&list, &node.container("c1")).await.unwrap();
        let file = |path: &str| node.root.join(path);
        let replaced = async |path: &str, make: &dyn Fn(&std::path::Path)| {
            let _ = fs::remove_file(file(path));
            make(&file(path));
            let added = node.runtime.add(&list, &node.container(&format!("c{}", fastrand::u32(..)))).await;
            let _ = node.runtime.status(&list).await;
            fs::remove_file(file(path)).unwrap();
            added
        };
        let pipe = |path: &std::path::Path| drop(knetsim_testing::run(&["mkfifo", path.to_str().unwrap()]));
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        fs::write(&victim, SUBNET_ENV).unwrap();
        let link = |path: &std::path::Path| std::os::unix::fs::symlink(&victim, path).unwrap();

        // Read: refused, or what is there counts as nothing.
        let last = "var/lib/cni/networks/n/last_reserved_ip.0";
        assert!(replaced(last, &pipe).await.is_err());
        assert!(replaced(last, &link).await.is_err());
        for make in [&pipe as &dyn Fn(&std::path::Path), &link] {
            assert_eq!(replaced("run/flannel/subnet.env", make).await.unwrap_err().code(), 5);
            write(&file("run/flannel/subnet.env"), SUBNET_ENV);
        }
        // A file of a terabyte, all of it holes.
        let huge = |path: &std::path::Path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(replaced("run/flannel/subnet.env", &huge).await.unwrap_err().code(), 5);
        assert_eq!(fs::read_to_string(&victim).unwrap(), SUBNET_ENV);
    });
}

/// Whatever became of the files since ADD.
#[test]
fn a_container_can_always_leave() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        let held =
            || node.files().into_keys().filter(|path| path.contains("/11.10.") || path.contains("results/")).count();
        let configuration = node.root.join("etc/cni/net.d/10-flannel.conflist");
        let kept = node.root.join("var/lib/cni/flannel/c1");
        type Change<'a> = &'a dyn Fn();
        let changes: [(&str, Change<'_>); 4] = [
            ("a broken file beside it", &|| write(&configuration.with_file_name("00-other.conflist"), "{")),
            ("the kept configuration is emptied", &|| write(&kept, "")),
            ("the network's own file is broken", &|| write(&configuration, "{")),
            ("the network's own file is gone", &|| fs::remove_file(&configuration).unwrap()),
        ];
        for (what, change) in changes {
            let container = node.container("c1");
            node.runtime.add(&list, &container).await.unwrap();
            assert_eq!(held(), 2, "{what}");
            change();
            let list = node.runtime.network_of("n", &container).unwrap_or_else(|error| panic!("{what}: {error}"));
            node.runtime.del(&list, &container).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(held(), 0, "{what}");
            assert_eq!(links("n-c1"), ["lo"], "{what}");
            run(&["ip", "netns", "delete", "n-c1"]);
        }
        // Who was never there leaves nothing to look for.
        let error = node.runtime.network_of("n", &Attachment::new("c2", None, "")).unwrap_err();
        assert!(error.to_string().contains("00-other.conflist"), "{error}");
    });
}

#[test]
fn many_at_once_get_an_address_each() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        // A second runtime for the same node: as if somebody used cnitool meanwhile.
        let root = cap_std::fs::Dir::open_ambient_dir(&node.root, cap_std::ambient_authority()).unwrap();
        let other = knetsim_cni::Runtime::new(node.netns.clone(), node.netns.netlink().unwrap(), root);
        let containers: Vec<_> = (0..40).map(|number| node.container(&format!("c{number}"))).collect();
        let runtimes = [&node.runtime, &other];
        let adds = containers.iter().enumerate().map(|(number, container)| runtimes[number % 2].add(&list, container));
        let results = futures::future::join_all(adds).await;
        let addresses: BTreeSet<_> = results.into_iter().map(|result| result.unwrap().address().unwrap()).collect();
        assert_eq!(addresses.len(), 40);

        // Whoever holds the lock is waited for.
        let lock = fs::File::open(node.root.join("var/lib/cni/networks/n/lock")).unwrap();
        lock.lock().unwrap();
        let late = node.container("late");
        let mut add = std::pin::pin!(node.runtime.add(&list, &late));
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut add).await.is_err());
        drop(lock);
        add.await.unwrap();
    });
}

#[test]
fn a_thousand_come_and_go_and_leave_nothing() {
    in_namespaces(async || {
        let node = Node::new("n");
        let list = node.runtime.network("n").unwrap();
        let new_namespace = || {
            let make = || {
                enter_new(Spaces::CLONE_NEWNET).unwrap();
                knetsim_kernel::NetNs::current().unwrap()
            };
            std::thread::spawn(make).join().unwrap()
        };
        let once = async |number: usize| {
            let id = format!("c{number}");
            let mut container = Attachment::new(&id, Some(new_namespace()), "/run/netns/x");
            node.runtime.add(&list, &container).await.unwrap();
            // Most go with their namespace.
            if !number.is_multiple_of(100) {
                container.netns = None;
            }
            node.runtime.del(&list, &container).await.unwrap();
        };
        let count = |folder: &str| fs::read_dir(folder).unwrap().count();
        let seen = || {
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            (count("/proc/self/fd"), count("/proc/self/task"), tasks, node.files())
        };
        once(0).await;
        let before = seen();
        for number in 1..=1000 {
            once(number).await;
        }
        let after = seen();
        let without_last = |files: &std::collections::BTreeMap<String, String>| {
            files
                .iter()
                .filter(|(path, _)| !path.contains("last_reserved_ip"))
                .map(|(path, _)| path.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!((before.0, before.1, before.2), (after.0, after.1, after.2), "descriptors, threads, tasks");
        assert_eq!(without_last(&before.3), without_last(&after.3));
        eventually("the last pairs go", || links("n") == ["lo", "cni0"]);
    });
}
