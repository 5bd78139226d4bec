//! Interface `captures`: `tcpdump -n -i` on any interface.

use std::net::IpAddr;
use std::time::Duration;

use knetsim_emulator::CaptureSpec;
use knetsim_model::{Failure, InterfaceRef, packet as model};
use wasmtime::component::Resource;

use super::wit::captures as wit;
use super::wit::captures::{Captured, Filter, Host, HostCapture, Room, TcpFlags};
use super::{State, name};
use crate::grants::Grant;

/// A capture that the lab may read.
pub struct Capture(knetsim_emulator::Capture);

impl Host for State {
    async fn start(&mut self, interface: String, filter: Filter, room: Room) -> Result<Resource<Capture>, Failure> {
        self.rights.look(Grant::Captures)?;
        let interface: InterfaceRef = name(&interface)?;
        let filter = self.filter(filter)?;
        let spec = CaptureSpec { interface, filter, packets: room.packets as usize, bytes: room.bytes as usize };
        let capture = self.emulator()?.capture(spec)?;
        self.hand_out(Capture(capture))
    }

    async fn open(&mut self, given: String) -> Result<Resource<Capture>, Failure> {
        self.rights.look(Grant::Captures)?;
        let capture = self.emulator()?.kept_capture(&name(&given)?)?;
        self.hand_out(Capture(capture))
    }
}

impl HostCapture for State {
    fn interface_name(&mut self, this: Resource<Capture>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.interface().to_string())
    }

    async fn read(&mut self, this: Resource<Capture>) -> Result<Captured, Failure> {
        let captured = self.handle(&this)?.0.read()?;
        let packets = captured.packets.into_iter().map(Into::into).collect();
        Ok(Captured { packets, passed: captured.passed, dropped: captured.dropped })
    }

    async fn wait(&mut self, this: Resource<Capture>, passed: u64, timeout_ms: u32) -> Result<bool, Failure> {
        if !(1..=60_000).contains(&timeout_ms) {
            return Err(Failure::invalid(format!("a capture waits 1 to 60000 ms, not {timeout_ms}")));
        }
        let capture = self.handle(&this)?.0.clone();
        match tokio::time::timeout(Duration::from_millis(timeout_ms.into()), capture.wait(passed)).await {
            Ok(ended) => ended.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    async fn keep(&mut self, this: Resource<Capture>, given: String) -> Result<(), Failure> {
        self.rights.need(Grant::Captures)?;
        self.emulator()?.keep_capture(name(&given)?, &self.handle(&this)?.0);
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Capture>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

impl State {
    fn filter(&self, filter: Filter) -> Result<model::Filter, Failure> {
        let Filter { protocol, host, port, vni, outgoing } = filter;
        let protocol = protocol.map(|text| name(&text)).transpose()?;
        let host = host.map(|host| match host.parse::<IpAddr>() {
            Ok(address) => Ok(address),
            Err(_) => self.address(&host).map(IpAddr::from),
        });
        Ok(model::Filter { protocol, host: host.transpose()?, port, vni, outgoing })
    }
}

impl From<model::Packet> for wit::Packet {
    fn from(packet: model::Packet) -> Self {
        let summary = packet.to_string();
        let model::Packet { number, at_us, outgoing, length, layers, bytes } = packet;
        let layers = layers.into_iter().map(Into::into).collect();
        wit::Packet { number, at_us, outgoing, length, layers, bytes, summary }
    }
}

impl From<model::Layer> for wit::Layer {
    fn from(layer: model::Layer) -> Self {
        use model::Layer;
        match layer {
            Layer::Ethernet { source, destination, ether_type } => {
                wit::Layer::Ethernet(wit::Ethernet { source, destination, ether_type })
            }
            Layer::Arp { operation, sender_mac, sender, target_mac, target } => {
                let (sender, target) = (sender.to_string(), target.to_string());
                wit::Layer::Arp(wit::Arp { operation, sender_mac, sender, target_mac, target })
            }
            Layer::Ip { source, destination, ttl, protocol, identification } => wit::Layer::Ip(wit::Ip {
                version: if source.is_ipv4() { 4 } else { 6 },
                source: source.to_string(),
                destination: destination.to_string(),
                ttl,
                protocol,
                identification,
            }),
            Layer::Icmp { kind, number, code, id, sequence } => {
                wit::Layer::Icmp(wit::Icmp { kind, number, code, id, sequence })
            }
            Layer::Tcp { source_port, destination_port, sequence, acknowledgment, flags, length } => {
                let flags = flags.into();
                wit::Layer::Tcp(wit::Tcp { source_port, destination_port, sequence, acknowledgment, flags, length })
            }
            Layer::Udp { source_port, destination_port, length } => {
                wit::Layer::Udp(wit::Udp { source_port, destination_port, length })
            }
            Layer::Vxlan { vni } => wit::Layer::Vxlan(wit::VxlanHeader { vni }),
            Layer::Other { what } => wit::Layer::Other(what),
        }
    }
}

impl From<model::TcpFlags> for TcpFlags {
    fn from(flags: model::TcpFlags) -> Self {
        let model::TcpFlags { syn, ack, fin, rst, psh, urg } = flags;
        let set = [
            (syn, TcpFlags::SYN),
            (ack, TcpFlags::ACK),
            (fin, TcpFlags::FIN),
            (rst, TcpFlags::RST),
            (psh, TcpFlags::PSH),
            (urg, TcpFlags::URG),
        ];
        set.into_iter().filter(|(set, _)| *set).fold(TcpFlags::empty(), |all, (_, flag)| all | flag)
    }
}
