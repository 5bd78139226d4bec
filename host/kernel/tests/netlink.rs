//! rtnetlink, compared with what `ip` and `bridge` say and do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::{in_namespaces, json_in, new_namespace, run_in};
use ipnet::{IpNet, Ipv4Net};
use knetsim_kernel::NetNs;
use knetsim_kernel::netlink::{Bridge, Mac, Netlink, Request, RouteKind, RouteSpec, Veth, VxlanSpec};
use serde_json::json;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

fn bridge(netlink: &Netlink) -> u32 {
    netlink.add_bridge(&Bridge { name: "cni0", up: true, ..Bridge::default() }).unwrap()
}

#[test]
fn a_container_takes_one_send_on_each_side() {
    in_namespaces(async || {
        let node = NetNs::current().unwrap();
        let container = new_namespace();
        let netlink = node.netlink().unwrap();
        let master = bridge(&netlink);
        let veth = Veth {
            name: "veth1",
            index: Some(1000),
            master: Some(master),
            up: true,
            mtu: Some(1450),
            peer_name: "eth0",
            peer_index: Some(100),
            peer_namespace: Some(&container),
            peer_mac: Some(mac("02:00:00:00:00:01")),
            ..Veth::default()
        };
        assert_eq!(netlink.add_veth(&veth).unwrap().index, 1000);
        let route = RouteSpec { gateway: Some(ip("11.10.0.1")), ..RouteSpec::to(net("0.0.0.0/0")) };
        let whole = [
            Request::set_up(1, true),
            Request::set_up(100, true),
            Request::add_address(100, net("11.10.0.2/20")),
            Request::replace_route(&route),
        ];
        container.netlink().unwrap().apply(whole).unwrap();

        let host = &json_in(&node, &["ip", "-j", "-d", "link", "show", "veth1"])[0];
        assert_eq!(host["ifindex"], 1000);
        assert_eq!(host["master"], "cni0");
        assert_eq!(host["operstate"], "UP");
        assert_eq!((&host["num_tx_queues"], &host["num_rx_queues"]), (&json!(1), &json!(1)));
        let eth0 = &json_in(&container, &["ip", "-j", "-d", "address", "show", "eth0"])[0];
        assert_eq!((&eth0["ifindex"], &eth0["address"]), (&json!(100), &json!("02:00:00:00:00:01")));
        assert_eq!(
            (&eth0["mtu"], &eth0["num_tx_queues"], &eth0["num_rx_queues"]),
            (&json!(1450), &json!(1), &json!(1))
        );
        assert_eq!(eth0["addr_info"][0]["local"], "11.10.0.2");
        assert_eq!(eth0["addr_info"][0]["broadcast"], "11.10.15.255");
        let default = run_in(&container, &["ip", "route", "show", "default"]);
        assert_eq!(default.trim(), "default via 11.10.0.1 dev eth0");
    });
}

#[test]
fn the_kernel_chooses_an_index_where_the_caller_does_not() {
    in_namespaces(async || {
        let node = NetNs::current().unwrap();
        let netlink = node.netlink().unwrap();
        let bridge = bridge(&netlink);
        let veth = Veth { name: "a", peer_name: "b", ..Veth::default() };
        let a = netlink.add_veth(&veth).unwrap().index;
        let b = netlink.link("b").unwrap().unwrap();
        assert_eq!(netlink.link("a").unwrap().unwrap().index, a);
        assert_eq!(b.link_index, Some(a));
        assert!(netlink.link("c").unwrap().is_none());

        netlink.apply([Request::set_master(a, Some(bridge)), Request::set_hairpin(a, true)]).unwrap();
        assert_eq!(netlink.link("a").unwrap().unwrap().master.as_deref(), Some("cni0"));
        let port = &json_in(&node, &["bridge", "-j", "-d", "link", "show", "dev", "a"])[0];
        assert_eq!(port["hairpin"], true);
        netlink.apply([Request::set_master(a, None)]).unwrap();
        assert_eq!(netlink.link("a").unwrap().unwrap().master, None);

        netlink.delete_link(a).unwrap();
        netlink.delete_link(a).expect("what is gone is deleted");
        assert!(netlink.link("b").unwrap().is_none(), "a pair goes whole");
    });
}

#[test]
fn a_pair_says_its_ends_and_when_packets_pass() {
    in_namespaces(async || {
        let (node, container) = (NetNs::current().unwrap(), new_namespace());
        let netlink = node.netlink().unwrap();
        let veth = Veth { name: "a", up: true, peer_name: "eth0", peer_namespace: Some(&container), ..Veth::default() };
        // So that the ends' indices differ.
        netlink.add_bridge(&Bridge { name: "first", ..Bridge::default() }).unwrap();
        let ends = netlink.add_veth(&veth).unwrap();
        let link = netlink.link("a").unwrap().unwrap();
        let eth0 = json_in(&container, &["ip", "-j", "link", "show", "eth0"])[0]["ifindex"].as_u64().unwrap() as u32;
        assert_eq!((ends.index, ends.mac.to_string(), ends.peer_index), (link.index, link.mac.clone(), eth0));
        assert_ne!(ends.index, eth0);
        assert!(!link.carrier, "its peer is down");

        let inside = [Request::set_up(eth0, true), Request::add_address(eth0, net("11.10.0.2/20"))];
        container.run(|| Netlink::here().unwrap().apply(inside)).unwrap().unwrap();
        let by_ip = run_in(&container, &["ip", "-4", "-br", "address", "show", "eth0"]);
        assert!(by_ip.contains("11.10.0.2/20"), "{by_ip}");
        netlink.wait_running(ends.index).await.unwrap();
        let gone = netlink.wait_running(9999).await.unwrap_err();
        assert_eq!(gone.to_string(), "wait until device 9999 runs: there is no such device");

        netlink.add_address(ends.index, net("192.0.2.1/24")).unwrap();
        netlink.add_address(1, net("192.0.2.9/32")).unwrap();
        let mut own = netlink.addresses_of(ends.index).unwrap();
        own.retain(|address| address.addr().is_ipv4());
        assert_eq!(own, [net("192.0.2.1/24")]);

        let refused = [Request::set_up(eth0, true), Request::set_mtu(78, 1400)];
        let error = container.netlink().unwrap().apply(refused).unwrap_err();
        assert!(error.to_string().starts_with("set link 78 mtu 1400: ") && error.is_not_found(), "{error}");
    });
}

#[test]
fn a_second_device_of_a_name_is_refused() {
    in_namespaces(async || {
        let netlink = NetNs::current().unwrap().netlink().unwrap();
        bridge(&netlink);
        let error = netlink.add_bridge(&Bridge { name: "cni0", ..Bridge::default() }).unwrap_err();
        assert!(error.is_exists(), "{error}");
        assert!(error.to_string().starts_with("add bridge cni0: "), "{error}");
    });
}

#[test]
fn an_error_bears_the_kernels_words_and_number() {
    in_namespaces(async || {
        let netlink = NetNs::current().unwrap().netlink().unwrap();
        let route = RouteSpec { gateway: Some(ip("192.0.2.1")), ..RouteSpec::to(net("11.10.16.0/20")) };
        let whole = [Request::set_up(1, true), Request::replace_route(&route), Request::set_mtu(1, 1400)];
        let error = netlink.apply(whole).unwrap_err();
        assert_eq!(
            error.to_string(),
            "set route 11.10.16.0/20 via 192.0.2.1: Nexthop has invalid gateway: \
             Network is unreachable (os error 101)"
        );
        assert_eq!(error.errno(), Some(101));
    });
}

#[test]
fn the_first_of_several_errors_is_told_and_none_is_taken_for_a_later_answer() {
    in_namespaces(async || {
        let netlink = NetNs::current().unwrap().netlink().unwrap();
        let gone = |number: u32| Request::set_mtu(number, 1400);
        for _ in 0..3 {
            let error = netlink.apply((100..180).map(gone)).unwrap_err();
            assert!(error.to_string().starts_with("set link 100 mtu 1400: "), "{error}");
            netlink.apply([Request::set_up(1, true)]).unwrap();
            assert_eq!(netlink.link("lo").unwrap().unwrap().index, 1);
        }
        let error = netlink.apply([Request::set_up(1, true), gone(78)]).unwrap_err();
        assert!(error.to_string().starts_with("set link 78 "), "{error}");
        let error = netlink.apply([gone(78), Request::set_up(1, true)]).unwrap_err();
        assert!(error.to_string().starts_with("set link 78 "), "{error}");
    });
}

#[test]
fn changes_can_be_repeated() {
    in_namespaces(async || {
        let node = NetNs::current().unwrap();
        let netlink = node.netlink().unwrap();
        let index = bridge(&netlink);
        let (address, hardware) = (net("11.10.0.1/20"), mac("02:00:00:00:00:01"));
        let other = mac("02:00:00:00:00:02");
        let route = RouteSpec { device: Some(index), ..RouteSpec::to(net("11.10.16.0/20")) };
        let black = RouteSpec { kind: RouteKind::Blackhole, metric: 10, ..RouteSpec::to(net("11.10.32.0/20")) };
        for hardware in [other, hardware, hardware] {
            netlink.add_address(index, address).unwrap();
            netlink.replace_route(&route).unwrap();
            netlink.replace_route(&black).unwrap();
            netlink.replace_neighbour(index, ip("11.10.0.9"), hardware).unwrap();
        }
        let neighbours = run_in(&node, &["ip", "neighbour", "show", "dev", "cni0"]);
        assert_eq!(neighbours.trim(), "11.10.0.9 lladdr 02:00:00:00:00:01 PERMANENT");
        let routes = run_in(&node, &["ip", "route", "show"]);
        assert!(routes.contains("blackhole 11.10.32.0/20 metric 10 \n"), "{routes}");
        assert_eq!(routes.matches("11.10.16.0/20 dev cni0 scope link").count(), 1, "{routes}");
        for _ in 0..2 {
            netlink.delete_neighbour(index, ip("11.10.0.9")).unwrap();
            netlink.delete_route(&route).unwrap();
            netlink.delete_route(&black).unwrap();
        }
        let routes = run_in(&node, &["ip", "route", "show"]);
        assert_eq!(routes.trim(), "11.10.0.0/20 dev cni0 proto kernel scope link src 11.10.0.1");
        for _ in 0..2 {
            netlink.delete_address(index, address).unwrap();
        }
        assert_eq!(run_in(&node, &["ip", "-4", "address", "show", "dev", "cni0"]), "");
        netlink.delete_link(index).unwrap();
        netlink.delete_address(index, address).expect("its device is gone too");
        netlink.delete_route(&route).expect("its device is gone too");
        netlink.delete_neighbour(index, ip("11.10.0.9")).expect("its device is gone too");
        netlink.delete_fdb(index, hardware, ip("10.0.0.4")).expect("its device is gone too");
    });
}

#[test]
fn a_vxlan_device_is_as_flannel_makes_it() {
    in_namespaces(async || {
        let node = NetNs::current().unwrap();
        let netlink = node.netlink().unwrap();
        let underlay = bridge(&netlink);
        netlink.add_address(underlay, net("10.0.0.3/8")).unwrap();
        let vxlan = VxlanSpec {
            name: "flannel.100",
            index: None,
            vni: 100,
            local: ip("10.0.0.3"),
            device: underlay,
            port: 8472,
            learning: false,
            mac: None,
            mtu: None,
        };
        let index = netlink.add_vxlan(&vxlan).unwrap();
        let vtep = mac("02:00:00:00:00:04");
        netlink.apply([Request::set_up(index, true), Request::add_address(index, net("11.10.0.0/32"))]).unwrap();
        for destination in ["10.0.0.5", "10.0.0.4", "10.0.0.4"] {
            let route = RouteSpec {
                gateway: Some(ip("11.10.16.0")),
                device: Some(index),
                onlink: true,
                ..RouteSpec::to(net("11.10.16.0/20"))
            };
            let peer = [
                Request::replace_neighbour(index, ip("11.10.16.0"), vtep),
                Request::replace_fdb(index, vtep, ip(destination)),
                Request::replace_route(&route),
            ];
            netlink.apply(peer).unwrap();
        }

        let link = &json_in(&node, &["ip", "-j", "-d", "link", "show", "flannel.100"])[0];
        let data = &link["linkinfo"]["info_data"];
        assert_eq!(link["mtu"], 1450);
        assert_eq!((&data["id"], &data["local"], &data["link"]), (&json!(100), &json!("10.0.0.3"), &json!("cni0")));
        assert_eq!((&data["port"], &data["learning"]), (&json!(8472), &json!(false)));
        let fdb = run_in(&node, &["bridge", "fdb", "show", "dev", "flannel.100"]);
        assert_eq!(fdb.trim(), "02:00:00:00:00:04 dst 10.0.0.4 self permanent");
        let routes = run_in(&node, &["ip", "route", "show", "dev", "flannel.100"]);
        assert_eq!(routes.trim(), "11.10.16.0/20 via 11.10.16.0 onlink");

        let observed = netlink.link("flannel.100").unwrap().unwrap();
        let parameters = observed.vxlan.unwrap();
        assert_eq!((parameters.vni, parameters.port, parameters.learning), (100, 8472, false));
        assert_eq!((parameters.local, observed.link_index), (Some(ip("10.0.0.3")), Some(underlay)));
        let entries = netlink.fdb().unwrap();
        let entry = entries.iter().find(|entry| entry.interface == "flannel.100").unwrap();
        assert_eq!((entry.mac.as_str(), entry.destination), ("02:00:00:00:00:04", Some(ip("10.0.0.4"))));
        assert!(entry.permanent && entry.master.is_none());
        assert!(entries.iter().any(|entry| entry.interface == "cni0" && entry.master.as_deref() == Some("cni0")));

        netlink.delete_fdb(index, vtep, ip("10.0.0.4")).unwrap();
        netlink.delete_fdb(index, vtep, ip("10.0.0.4")).expect("what is gone is deleted");
        assert_eq!(run_in(&node, &["bridge", "fdb", "show", "dev", "flannel.100"]), "");
    });
}

#[test]
fn observations_agree_with_ip() {
    in_namespaces(async || {
        let node = NetNs::current().unwrap();
        let netlink = node.netlink().unwrap();
        let commands = "link set lo up
            link add veth1 type veth peer name eth0
            link add br0 type bridge
            link set veth1 master br0 up
            link set eth0 up
            address add 10.0.0.3/8 dev eth0
            address add fd00::3/64 dev eth0 nodad
            route add default via 10.0.0.1 metric 5
            route add unreachable 10.9.0.0/16
            route add 10.8.0.0/16 nexthop via 10.0.0.7 dev eth0 nexthop via 10.0.0.8 dev eth0
            route add 10.7.0.0/16 dev eth0 src 10.0.0.3 table 100
            neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0";
        for command in commands.lines() {
            let words: Vec<&str> = std::iter::once("ip").chain(command.split_whitespace()).collect();
            run_in(&node, &words);
        }

        let links = netlink.links().unwrap();
        let theirs = json_in(&node, &["ip", "-j", "-d", "-s", "link"]);
        assert_eq!(links.len(), theirs.as_array().unwrap().len());
        for (link, theirs) in links.iter().zip(theirs.as_array().unwrap()) {
            assert_eq!(
                (link.index, link.name.as_str()),
                (theirs["ifindex"].as_u64().unwrap() as u32, theirs["ifname"].as_str().unwrap())
            );
            assert_eq!(
                (link.mtu, link.mac.as_str()),
                (theirs["mtu"].as_u64().unwrap() as u32, theirs["address"].as_str().unwrap())
            );
            assert_eq!(link.master.as_deref(), theirs["master"].as_str());
            assert_eq!(link.kind, theirs["linkinfo"]["info_kind"].as_str().unwrap_or("loopback"));
            let flags = theirs["flags"].as_array().unwrap();
            assert_eq!((link.up, link.carrier), (flags.contains(&json!("UP")), flags.contains(&json!("LOWER_UP"))));
        }

        let addresses: Vec<_> =
            netlink.addresses().unwrap().into_iter().filter(|address| address.scope != "link").collect();
        let text = |address: &knetsim_model::observe::Address| {
            format!("{} {}/{} {}", address.interface, address.address, address.prefix, address.scope)
        };
        let addresses: Vec<String> = addresses.iter().map(text).collect();
        assert_eq!(
            addresses,
            ["lo 127.0.0.1/8 host", "eth0 10.0.0.3/8 global", "lo ::1/128 host", "eth0 fd00::3/64 global"]
        );

        let routes = netlink.routes().unwrap();
        let route = |destination: &str| -> Vec<_> {
            routes.iter().filter(|route| route.destination == destination && route.table != 255).collect()
        };
        let default = route("default")[0];
        assert_eq!((default.gateway, default.interface.as_deref()), (Some(ip("10.0.0.1")), Some("eth0")));
        assert_eq!((default.metric, default.protocol.as_str(), default.table), (5, "boot", 254));
        assert_eq!(route("10.0.0.0/8")[0].protocol, "kernel");
        assert_eq!(route("10.0.0.0/8")[0].source, Some(ip("10.0.0.3")));
        assert_eq!(route("10.9.0.0/16")[0].kind, "unreachable");
        assert_eq!(route("10.7.0.0/16")[0].table, 100);
        let hops: Vec<_> = route("10.8.0.0/16").iter().map(|route| route.gateway).collect();
        assert_eq!(hops, [Some(ip("10.0.0.7")), Some(ip("10.0.0.8"))]);
        assert!(routes.iter().any(|route| route.destination == "fd00::/64" && route.kind == "unicast"));

        let neighbours = netlink.neighbours().unwrap();
        let neighbour = neighbours.iter().find(|neighbour| neighbour.address == ip("10.0.0.9")).unwrap();
        assert_eq!((neighbour.interface.as_str(), neighbour.state.as_str()), ("eth0", "permanent"));
        assert_eq!(neighbour.mac.as_deref(), Some("02:00:00:00:00:09"));
    });
}

#[test]
fn large_batches_and_dumps_at_once() {
    in_namespaces(async || {
        let netlink = NetNs::current().unwrap().netlink().unwrap();
        // Pairs: a namespace full of bridges takes seconds to go, and all others wait.
        let add = |number: u32| {
            let (name, peer_name) = (&format!("veth{number}"), &format!("peer{number}"));
            Request::add_veth(&Veth { name, index: Some(number), peer_name, ..Veth::default() })
        };
        netlink.apply((1000..1100).map(add)).unwrap();
        let address =
            |number: u32| Request::add_address(1000, net(&format!("10.0.{}.{}/32", number / 250, number % 250 + 1)));
        netlink.apply((0..2000).map(address)).unwrap();
        std::thread::scope(|scope| {
            let links = [(); 2].map(|()| scope.spawn(|| netlink.links().unwrap()));
            let addresses = scope.spawn(|| netlink.addresses().unwrap());
            netlink.apply((2000..2050).map(add)).unwrap();
            links.into_iter().for_each(|links| assert!(links.join().unwrap().len() > 200));
            let addresses = addresses.join().unwrap();
            assert_eq!(addresses.iter().filter(|address| address.interface == "veth1000").count(), 2000);
        });
    });
}

#[test]
fn dumps_take_turns() {
    in_namespaces(async || {
        let netlink = NetNs::current().unwrap().netlink().unwrap();
        const MANY: u32 = 20_000;
        let route = |number: u32| RouteSpec {
            kind: RouteKind::Blackhole,
            ..RouteSpec::to(Ipv4Net::new_assert(Ipv4Addr::from(0x0b00_0000 + (number << 8)), 24))
        };
        netlink.apply((0..MANY).map(|number| Request::replace_route(&route(number)))).unwrap();
        std::thread::scope(|scope| {
            for dump in [(); 8].map(|()| scope.spawn(|| netlink.routes().unwrap())) {
                assert_eq!(dump.join().unwrap().len(), MANY as usize);
            }
        });
    });
}

#[test]
fn the_last_handle_closes_the_socket() {
    in_namespaces(async || {
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let node = NetNs::current().unwrap();
        let before = descriptors();
        let netlink = node.netlink().unwrap();
        let again = netlink.clone();
        drop(netlink);
        assert!(again.link("lo").unwrap().is_some());
        drop(again);
        assert_eq!(descriptors(), before);
    });
}
