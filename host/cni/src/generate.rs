//! The network configuration that a node of knetsim gets.

use serde::Serialize;

use crate::version::Version;

/// Where it lies on the node.
pub const CONFIGURATION_FILE: &str = "/etc/cni/net.d/10-flannel.conflist";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    cni_version: &'static str,
    name: &'a str,
    plugins: [Flannel; 1],
}

#[derive(Serialize)]
struct Flannel {
    #[serde(rename = "type")]
    kind: &'static str,
    delegate: Delegate,
}

/// What flannel passes on to the bridge plugin.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Delegate {
    hairpin_mode: bool,
    is_default_gateway: bool,
    ip_masq: bool,
}

/// The content of [`CONFIGURATION_FILE`] for a node: the network bears the node's name, flannel reads
/// `/run/flannel/subnet.env`, containers get a default route.
///
/// A container may be sent back what it sent, as in flannel's own manifest: it may be chosen for a service that it asks.
///
/// Masquerade is off. Left to itself the flannel plugin would turn it on, since FLANNEL_IPMASQ is false,
/// and containers would see the addresses of each other's nodes instead of each other's.
pub fn configuration(node: &str) -> String {
    let delegate = Delegate { hairpin_mode: true, is_default_gateway: true, ip_masq: false };
    let flannel = Flannel { kind: "flannel", delegate };
    let list = List { cni_version: Version::LATEST.as_str(), name: node, plugins: [flannel] };
    // A value of strings and flags can't fail to become JSON.
    serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NetworkList;

    #[test]
    fn it_is_a_configuration_list_of_the_node_s_name() {
        let list = NetworkList::parse(configuration("C0w1").as_bytes()).unwrap();
        assert_eq!((list.name.as_str(), list.version), ("C0w1", Version::V1_1_0));
        let delegate = serde_json::json!({"hairpinMode": true, "isDefaultGateway": true, "ipMasq": false});
        assert_eq!(list.plugins[0]["delegate"], delegate);
    }
}
