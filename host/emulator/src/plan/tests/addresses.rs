//! Pod networks and the underlay.

use super::*;

/// The file that makes the same cluster with other pods.
fn pods(network: &str) -> String {
    format!(r#"{{"workers":2,"flannel":{{"Network":"{network}","Backend":{{"Type":"vxlan"}}}}}}"#)
}

#[test]
fn a_pod_network_may_lie_in_the_underlay_where_no_node_is() {
    for network in ["10.244.0.0/16", "10.42.0.0/16", "10.5.0.0/16", "10.128.0.0/9"] {
        let plan =
            apply(&View::default(), &format!(r#"{{"clusters":{{"C0":{},"C1":{}}}}}"#, pods(network), pods(network)));
        let plan = plan.unwrap_or_else(|refused| panic!("{network}: {refused}"));
        assert_eq!(plan.nodes.len(), 8);
    }
    // The sixth cluster's etcd nodes would have 10.5.0.x, and the fifth's.
    let clusters: Vec<_> = (0..6).map(|number| format!(r#""C{number}":{}"#, pods("10.5.0.0/16"))).collect();
    let plan = apply(&View::default(), &format!(r#"{{"clusters":{{{}}}}}"#, clusters.join(","))).unwrap();
    let indices: Vec<_> = plan.clusters.iter().map(|cluster| cluster.index).collect();
    assert_eq!(indices, [0, 1, 2, 3, 5, 6]);
    // Half of the nodes' own block: they are numbered past it.
    let plan = apply(&View::default(), &format!(r#"{{"clusters":{{"C0":{}}}}}"#, pods("10.0.0.0/17"))).unwrap();
    let first = plan.nodes.iter().find(|node| node.name.as_str() == "C0w1").unwrap();
    assert_eq!(first.address.to_string(), "10.0.128.0");
}

#[test]
fn a_pod_network_with_a_nodes_address_is_refused_by_name() {
    let refused = |text: String| apply(&View::default(), &text).unwrap_err();
    let with = |network: &str| refused(format!(r#"{{"clusters":{{"C0":{}}}}}"#, pods(network)));
    for (network, words) in [
        ("10.0.0.0/8", "overlaps 10.0.0.0/16, where the nodes have their addresses"),
        ("10.0.0.0/15", "overlaps 10.0.0.0/16"),
        ("100.64.0.0/10", "overlaps 100.64.0.0/16, which the services use"),
        ("100.64.8.0/21", "overlaps 100.64.0.0/16"),
    ] {
        let refused = with(network);
        assert!(refused.code == Code::Invalid && refused.message.contains(words), "{network}: {refused}");
    }
    let given = format!(r#"{{"clusters":{{"C0":{{"index":4,{}}}}}"#, &pods("10.5.0.0/16")[1..]);
    assert!(refused(given).message.contains("C0e1 can't have 10.5.0.1: pods of cluster C0 have it"));
    let numbered = format!(r#"{{"clusters":{{"C0":{}}},"numbers":{{"C0w2":9}}}}"#, pods("10.0.0.0/28"));
    assert!(refused(numbered).message.contains("C0w2 can't have 10.0.0.9: pods of cluster C0 have it"));
    // Another cluster's nodes, and those of one that gets other pods.
    let other = apply(
        &course(),
        &format!(r#"{{"clusters":{{"C0":{{"workers":3}},"C1":{{"workers":3}},"C2":{}}}}}"#, pods("10.2.0.0/16")),
    );
    assert!(other.unwrap_err().message.contains("holds 10.2.0.1, which is C1e1's address"));
    let config = serde_json::from_str(r#"{"Network":"10.1.0.0/16","Backend":{"Type":"vxlan"}}"#).unwrap();
    let own = user(&course(), Operation::SetFlannel { cluster: "C0".parse().unwrap(), config });
    assert!(own.unwrap_err().message.contains("holds 10.1.0.1, which is C0e1's address"));
}

#[test]
fn the_underlay_can_be_moved_while_there_are_no_nodes() {
    let text = r#"{"underlay":"192.168.0.0/16","clusters":{"C0":{"workers":1,"flannel":{"Network":"10.0.0.0/8","Backend":{"Type":"vxlan"}}}}}"#;
    let plan = apply(&View::default(), text).unwrap();
    let addresses: Vec<_> =
        plan.nodes.iter().map(|node| format!("{} {}/{}", node.name, node.address, node.prefix)).collect();
    assert_eq!(addresses, ["C0e1 192.168.1.1/16", "C0e2 192.168.1.2/16", "C0w1 192.168.0.3/16"]);
    let view = View { underlay: plan.underlay.unwrap(), ..done(View::default(), plan) };
    // As it is where the file doesn't say, and the same is no change.
    let more = user(&view, Operation::CreateWorker { worker: "C0w2".parse().unwrap() }).unwrap();
    assert_eq!(more.nodes[0].address.to_string(), "192.168.0.4");
    assert_eq!(apply(&view, text).unwrap(), Plan::default());
    let refused = apply(&view, &text.replace("192.168.0.0/16", "10.0.0.0/8")).unwrap_err();
    assert!(
        refused.message.contains("the underlay is 192.168.0.0/16 and can't become 10.0.0.0/8 while there are nodes")
    );
    let overlapping = text.replace("10.0.0.0/8", "192.168.0.0/16");
    assert!(apply(&View::default(), &overlapping).unwrap_err().message.contains("overlaps 192.168.0.0/24"));
}
