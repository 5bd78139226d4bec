//! A packet's bytes as headers, those inside VXLAN too.

use etherparse::err::ip::LaxHeaderSliceError;
use etherparse::{
    ArpOperation, ArpPacketSlice, IcmpEchoHeader, Icmpv4Type, Icmpv6Type, LaxIpv4Slice, LaxIpv6Slice, LaxLinkExtSlice,
    LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice,
};
use knetsim_kernel::netlink::Mac;
use knetsim_model::packet::{Layer, TcpFlags};

/// How many tunnels inside each other are looked into.
const DEPTH: usize = 3;

/// The headers of a packet that begins with `bytes`, after which `cut` more were cut off. It begins with an
/// Ethernet header, or else with IP's.
pub(crate) fn layers(bytes: &[u8], cut: usize, ethernet: bool) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut frame = LaxSlicedPacket::from_ethernet(bytes).map_err(LaxHeaderSliceError::Len);
    if !ethernet {
        frame = LaxSlicedPacket::from_ip(bytes);
    }
    for _ in 0..DEPTH {
        let Ok(packet) = frame else {
            layers.push(other("cut short"));
            break;
        };
        let Some(inner) = read(&packet, cut, &mut layers) else { break };
        frame = LaxSlicedPacket::from_ethernet(inner).map_err(LaxHeaderSliceError::Len);
    }
    layers
}

/// The headers of one frame; the frame inside, where it is a tunnel's.
fn read<'a>(packet: &LaxSlicedPacket<'a>, cut: usize, layers: &mut Vec<Layer>) -> Option<&'a [u8]> {
    let mut carried = "nothing known".to_owned();
    if let Some(LinkSlice::Ethernet2(header)) = &packet.link {
        let (source, destination) = (mac(header.source()), mac(header.destination()));
        layers.push(Layer::Ethernet { source, destination, ether_type: header.ether_type().0 });
        carried = format!("Ethernet type 0x{:04x}", header.ether_type().0);
    }
    for extension in &packet.link_exts {
        layers.push(match extension {
            LaxLinkExtSlice::Vlan(vlan) => other(format!("VLAN {}", vlan.vlan_identifier().value())),
            LaxLinkExtSlice::Macsec(_) => other("MACsec"),
        });
    }
    if let Some(net) = &packet.net {
        let (header, protocol, fragment) = match net {
            LaxNetSlice::Arp(packet) => {
                layers.push(arp(packet));
                return None;
            }
            LaxNetSlice::Ipv4(ip) => (ipv4(ip), ip.payload_ip_number(), ip.is_payload_fragmented()),
            LaxNetSlice::Ipv6(ip) => (ipv6(ip), ip.payload().ip_number, ip.is_payload_fragmented()),
        };
        layers.push(header);
        carried = if fragment { "fragment".to_owned() } else { format!("IP protocol {}", protocol.0) };
    }
    let Some(transport) = &packet.transport else {
        layers.push(if packet.stop_err.is_some() { other("cut short") } else { other(carried) });
        return None;
    };
    layers.push(header(transport, cut));
    let TransportSlice::Udp(udp) = transport else { return None };
    let (vni, inner) = vxlan(udp.destination_port(), udp.payload())?;
    layers.push(Layer::Vxlan { vni });
    Some(inner)
}

fn arp(packet: &ArpPacketSlice<'_>) -> Layer {
    let Ok(arp) = packet.to_packet().try_eth_ipv4() else { return other("ARP of something else than IPv4") };
    let operation = match arp.operation {
        ArpOperation::REQUEST => "request".to_owned(),
        ArpOperation::REPLY => "reply".to_owned(),
        ArpOperation(number) => number.to_string(),
    };
    let (sender, target) = (arp.sender_ipv4_addr(), arp.target_ipv4_addr());
    Layer::Arp { operation, sender_mac: mac(arp.sender_mac), sender, target_mac: mac(arp.target_mac), target }
}

fn ipv4(ip: &LaxIpv4Slice<'_>) -> Layer {
    let header = ip.header();
    let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
    let (ttl, identification) = (header.ttl(), Some(header.identification()));
    Layer::Ip { source, destination, ttl, protocol: ip.payload_ip_number().0, identification }
}

fn ipv6(ip: &LaxIpv6Slice<'_>) -> Layer {
    let header = ip.header();
    let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
    let (ttl, protocol) = (header.hop_limit(), ip.payload().ip_number.0);
    Layer::Ip { source, destination, ttl, protocol, identification: None }
}

fn header(transport: &TransportSlice<'_>, cut: usize) -> Layer {
    match transport {
        TransportSlice::Icmpv4(message) => {
            let (kind, echo) = match message.icmp_type() {
                Icmpv4Type::EchoRequest(echo) => ("echo-request", Some(echo)),
                Icmpv4Type::EchoReply(echo) => ("echo-reply", Some(echo)),
                Icmpv4Type::DestinationUnreachable(_) => ("unreachable", None),
                Icmpv4Type::TimeExceeded(_) => ("time-exceeded", None),
                _ => ("other", None),
            };
            icmp(kind, message.type_u8(), message.code_u8(), echo)
        }
        TransportSlice::Icmpv6(message) => {
            let (kind, echo) = match message.icmp_type() {
                Icmpv6Type::EchoRequest(echo) => ("echo-request", Some(echo)),
                Icmpv6Type::EchoReply(echo) => ("echo-reply", Some(echo)),
                Icmpv6Type::DestinationUnreachable(_) => ("unreachable", None),
                Icmpv6Type::TimeExceeded(_) => ("time-exceeded", None),
                _ => ("other", None),
            };
            icmp(kind, message.type_u8(), message.code_u8(), echo)
        }
        TransportSlice::Tcp(tcp) => Layer::Tcp {
            source_port: tcp.source_port(),
            destination_port: tcp.destination_port(),
            sequence: tcp.sequence_number(),
            acknowledgment: tcp.acknowledgment_number(),
            flags: TcpFlags {
                syn: tcp.syn(),
                ack: tcp.ack(),
                fin: tcp.fin(),
                rst: tcp.rst(),
                psh: tcp.psh(),
                urg: tcp.urg(),
            },
            length: u32::try_from(tcp.payload().len() + cut).unwrap_or(u32::MAX),
        },
        TransportSlice::Udp(udp) => Layer::Udp {
            source_port: udp.source_port(),
            destination_port: udp.destination_port(),
            length: u32::from(udp.length()).saturating_sub(8),
        },
        TransportSlice::Igmp(_) => other("IGMP"),
    }
}

fn icmp(kind: &str, number: u8, code: u8, echo: Option<IcmpEchoHeader>) -> Layer {
    let (id, sequence) = (echo.map(|echo| echo.id), echo.map(|echo| echo.seq));
    Layer::Icmp { kind: kind.to_owned(), number, code, id, sequence }
}

/// VXLAN's identifier and the frame that it carries (RFC 7348). Any port may be VXLAN's: on another than the two
/// usual ones it shows by what it carries.
fn vxlan(port: u16, payload: &[u8]) -> Option<(u32, &[u8])> {
    let (header, frame) = payload.split_first_chunk()?;
    let [0x08, 0, 0, 0, high, middle, low, 0] = *header else { return None };
    let known = matches!(frame.get(12..14), Some([0x08, 0x00 | 0x06] | [0x86, 0xdd] | [0x81, 0x00]));
    (known || matches!(port, 4789 | 8472)).then_some((u32::from_be_bytes([0, high, middle, low]), frame))
}

fn mac(address: [u8; 6]) -> String {
    Mac(address).to_string()
}

fn other(what: impl Into<String>) -> Layer {
    Layer::Other { what: what.into() }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const NEAR: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const FAR: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn ping() -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2(NEAR, FAR).ipv4([11, 0, 0, 1], [11, 0, 0, 2], 63);
        builder.icmpv4_echo_request(7, 3).write(&mut bytes, &[0; 56]).unwrap();
        bytes
    }

    fn vxlan_of(frame: &[u8], port: u16) -> Vec<u8> {
        let payload = [&[8, 0, 0, 0, 0, 1, 2, 0], frame].concat();
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2(NEAR, FAR).ipv4([10, 0, 0, 3], [10, 0, 0, 4], 64);
        builder.udp(40000, port).write(&mut bytes, &payload).unwrap();
        bytes
    }

    /// Its layers in words, those without words left out.
    fn words(bytes: &[u8], cut: usize) -> String {
        let layers = layers(bytes, cut, true);
        let words = layers.iter().filter(|layer| !matches!(layer, Layer::Ethernet { .. })).map(Layer::to_string);
        words.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_ping() {
        assert_eq!(words(&ping(), 0), "11.0.0.1 > 11.0.0.2; ICMP echo-request id 7 seq 3");
        let decoded = layers(&ping(), 0, true);
        let (source, destination) = ("02:00:00:00:00:01".to_owned(), "02:00:00:00:00:02".to_owned());
        assert_eq!(decoded[0], Layer::Ethernet { source, destination, ether_type: 0x0800 });
        assert!(matches!(decoded[1], Layer::Ip { ttl: 63, protocol: 1, identification: Some(_), .. }));
        assert_eq!(layers(&ping()[14..], 0, false), decoded[1..], "a device without Ethernet");
    }

    #[test]
    fn a_tunnel_is_looked_into_at_any_port_and_no_deeper_than_need_be() {
        let inside = "10.0.0.3 > 10.0.0.4; UDP 106 bytes; VXLAN 258; 11.0.0.1 > 11.0.0.2; ICMP echo-request id 7 seq 3";
        assert_eq!(words(&vxlan_of(&ping(), 8472), 0), inside);
        assert_eq!(words(&vxlan_of(&ping(), 5000), 0), inside);
        let odd = [&ping()[..12], &[0x88, 0xcc, 1, 2, 3]].concat();
        assert!(words(&vxlan_of(&odd, 4789), 0).ends_with("VXLAN 258; Ethernet type 0x88cc"));
        assert!(words(&vxlan_of(&odd, 5000), 0).ends_with("UDP 25 bytes"), "no tunnel as far as one can tell");
        let deep = (0..10).fold(ping(), |frame, _| vxlan_of(&frame, 8472));
        assert_eq!(words(&deep, 0).matches("VXLAN").count(), DEPTH);
    }

    #[test]
    fn what_was_cut_off_is_said() {
        let whole = vxlan_of(&ping(), 8472);
        for (length, end) in [
            (10, "cut short"),
            (20, "cut short"),
            (36, "10.0.0.3 > 10.0.0.4; cut short"),
            (44, "UDP 106 bytes"),
            (52, "VXLAN 258; cut short"),
            (70, "VXLAN 258; cut short"),
            (88, "11.0.0.1 > 11.0.0.2; cut short"),
        ] {
            let words = words(&whole[..length], whole.len() - length);
            assert!(words.ends_with(end), "{length}: {words}");
        }
        let mut tcp = Vec::new();
        let builder = PacketBuilder::ethernet2(NEAR, FAR).ipv4([10, 0, 0, 3], [10, 0, 0, 4], 64);
        builder.tcp(40000, 80, 5, 1000).psh().ack(9).write(&mut tcp, &[0; 500]).unwrap();
        assert_eq!(words(&tcp[..64], tcp.len() - 64), "10.0.0.3 > 10.0.0.4; TCP ACK,PSH 500 bytes");
    }

    #[test]
    fn arp_and_the_unknown() {
        let request = [1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 11, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0, 0, 2];
        let frame = [&[0xff; 6][..], &NEAR, &[0x08, 0x06, 0], &request].concat();
        assert_eq!(words(&frame, 0), "ARP who has 11.0.0.2? tell 11.0.0.1");
        let unknown = [&FAR[..], &NEAR, &[0x88, 0xcc, 0, 0]].concat();
        assert_eq!(words(&unknown, 0), "Ethernet type 0x88cc");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded(bytes: Vec<u8>, ethernet: bool) {
            let _ = layers(&bytes, 0, ethernet);
            let _ = layers(&vxlan_of(&bytes, 8472), 0, true);
        }
    }
}
