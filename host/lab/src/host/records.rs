//! Observations in the WIT package's records, which are the model's with addresses as text.

use knetsim_model::observe as model;

use super::wit::observe as wit;

fn text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

impl From<model::Link> for wit::Link {
    fn from(link: model::Link) -> Self {
        wit::Link {
            index: link.index,
            name: link.name,
            kind: link.kind,
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            master: link.master,
            link_index: link.link_index,
            vxlan: link.vxlan.map(Into::into),
            counters: link.counters.into(),
        }
    }
}

impl From<model::Vxlan> for wit::Vxlan {
    fn from(vxlan: model::Vxlan) -> Self {
        wit::Vxlan { vni: vxlan.vni, port: vxlan.port, local: text(vxlan.local), learning: vxlan.learning }
    }
}

impl From<model::Counters> for wit::Counters {
    fn from(counters: model::Counters) -> Self {
        wit::Counters {
            rx_packets: counters.rx_packets,
            rx_bytes: counters.rx_bytes,
            rx_dropped: counters.rx_dropped,
            tx_packets: counters.tx_packets,
            tx_bytes: counters.tx_bytes,
            tx_dropped: counters.tx_dropped,
        }
    }
}

impl From<model::Address> for wit::Address {
    fn from(address: model::Address) -> Self {
        wit::Address {
            interface: address.interface,
            address: address.address.to_string(),
            prefix: address.prefix,
            scope: address.scope,
        }
    }
}

impl From<model::Route> for wit::Route {
    fn from(route: model::Route) -> Self {
        wit::Route {
            destination: route.destination,
            gateway: text(route.gateway),
            interface: route.interface,
            source: text(route.source),
            table: route.table,
            kind: route.kind,
            protocol: route.protocol,
            metric: route.metric,
            onlink: route.onlink,
        }
    }
}

impl From<model::Neighbour> for wit::Neighbour {
    fn from(neighbour: model::Neighbour) -> Self {
        wit::Neighbour {
            interface: neighbour.interface,
            address: neighbour.address.to_string(),
            mac: neighbour.mac,
            state: neighbour.state,
        }
    }
}

impl From<model::FdbEntry> for wit::FdbEntry {
    fn from(entry: model::FdbEntry) -> Self {
        wit::FdbEntry {
            interface: entry.interface,
            mac: entry.mac,
            destination: text(entry.destination),
            master: entry.master,
            permanent: entry.permanent,
        }
    }
}

impl From<model::Socket> for wit::Socket {
    fn from(socket: model::Socket) -> Self {
        wit::Socket {
            protocol: socket.protocol,
            state: socket.state,
            local: socket.local.to_string(),
            remote: socket.remote.to_string(),
        }
    }
}

impl From<model::Process> for wit::Process {
    fn from(process: model::Process) -> Self {
        wit::Process {
            pid: process.pid,
            parent: process.parent,
            command: process.command,
            state: process.state,
            memory: process.memory,
        }
    }
}

impl From<model::NamedNamespace> for wit::NamedNamespace {
    fn from(namespace: model::NamedNamespace) -> Self {
        wit::NamedNamespace { name: namespace.name, inode: namespace.inode, container: namespace.container }
    }
}

impl From<model::EtcdKey> for wit::EtcdKey {
    fn from(key: model::EtcdKey) -> Self {
        wit::EtcdKey { key: key.key, value: key.value, ttl: key.ttl }
    }
}

impl From<model::HistoryEntry> for wit::HistoryEntry {
    fn from(entry: model::HistoryEntry) -> Self {
        let model::Change { subject, verb, detail } = entry.change;
        wit::HistoryEntry { at_ms: entry.at_ms, place: entry.place, change: wit::Change { subject, verb, detail } }
    }
}
