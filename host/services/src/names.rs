//! Names of chains and affinity sets, as kube-proxy forms them: a hash tells at a glance what differs in one digit.

use std::net::Ipv4Addr;

use knetsim_model::ServiceName;
use sha2::{Digest, Sha256};

/// Services have no namespaces of Kubernetes's here: all are in its usual one.
pub(crate) const NAMESPACE: &str = "default";
/// nftables takes names of 255 bytes; kube-proxy leaves 16 for its prefixes.
const LONGEST: usize = 240;
/// RFC 4648.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What the chain of a service's port is called after its prefix: `ULMVA6XW-ns1/svc1/tcp/p80`.
pub(crate) fn service_base(namespace: &str, name: &ServiceName, protocol: &str, port: &str) -> String {
    hashed(&format!("{namespace}/{name}/{protocol}/{port}"))
}

/// What the chain of an endpoint of that port is called after its prefix: `5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80`.
pub(crate) fn endpoint_base(
    namespace: &str,
    name: &ServiceName,
    protocol: &str,
    port: &str,
    endpoint: Ipv4Addr,
    target: &str,
) -> String {
    hashed(&format!("{namespace}/{name}/{protocol}/{port}__{endpoint}/{target}"))
}

/// The name behind the first eight characters of its SHA-256 in base32.
fn hashed(name: &str) -> String {
    let digest = Sha256::digest(name);
    // Five bytes are eight characters of five bits.
    let bits = digest[..5].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let character = |at: u32| char::from(BASE32[(bits >> (35 - 5 * at) & 31) as usize]);
    let hash: String = (0..8).map(character).collect();
    let mut whole = format!("{hash}-{name}");
    if whole.len() > LONGEST {
        whole.truncate(LONGEST - 3);
        whole.push_str("...");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kube_proxys() {
        // The examples in kube-proxy's own comments.
        let svc1: ServiceName = "svc1".parse().unwrap();
        assert_eq!(service_base("ns1", &svc1, "tcp", "p80"), "ULMVA6XW-ns1/svc1/tcp/p80");
        assert_eq!(
            endpoint_base("ns1", &svc1, "tcp", "p80", Ipv4Addr::new(10, 180, 0, 1), "80"),
            "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
        );
    }
}
