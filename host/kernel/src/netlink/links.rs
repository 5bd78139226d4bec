//! Devices: `ip link`.

use std::net::IpAddr;

use knetsim_model::observe::Link;

use super::{Mac, Netlink, Request};
use crate::error::KernelError;
use crate::netns::NetNs;

/// A pair of virtual Ethernet devices with one queue each way, this end and its peer:
/// `ip link add NAME numtxqueues 1 numrxqueues 1 type veth peer name PEER netns NAMESPACE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Veth<'a> {
    /// This end's name.
    pub name: &'a str,
    /// This end's index, where the caller chooses it.
    pub index: Option<u32>,
    /// The bridge that this end is a port of.
    pub master: Option<u32>,
    /// Whether this end is born up.
    pub up: bool,
    /// This end's hardware address; else a random one.
    pub mac: Option<Mac>,
    /// Largest packet in bytes, at both ends; else 1500.
    pub mtu: Option<u32>,
    /// The peer's name. It can't be born up: see [`Request::set_up`].
    pub peer_name: &'a str,
    /// The peer's index, where the caller chooses it.
    pub peer_index: Option<u32>,
    /// Where the peer is born; else here.
    pub peer_namespace: Option<&'a NetNs>,
    /// The peer's hardware address; else a random one.
    pub peer_mac: Option<Mac>,
}

/// A bridge: `ip link add NAME type bridge`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bridge<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index, where the caller chooses it.
    pub index: Option<u32>,
    /// Whether it is born up.
    pub up: bool,
    /// Its hardware address; else the lowest of its ports'.
    pub mac: Option<Mac>,
    /// Largest packet in bytes; else the smallest of its ports'.
    pub mtu: Option<u32>,
}

/// A VXLAN device, as flannel makes it:
/// `ip link add NAME type vxlan id VNI local LOCAL dev DEVICE dstport PORT nolearning`.
#[derive(Clone, Copy, Debug)]
pub struct VxlanSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index, where the caller chooses it.
    pub index: Option<u32>,
    /// VXLAN network identifier.
    pub vni: u32,
    /// The address that outer packets are sent from.
    pub local: IpAddr,
    /// Index of the device that outer packets leave by.
    pub device: u32,
    /// UDP port of the other ends.
    pub port: u16,
    /// Whether it learns addresses from packets.
    pub learning: bool,
    /// Its hardware address; else a random one.
    pub mac: Option<Mac>,
    /// Largest inner packet in bytes; else the device's less 50.
    pub mtu: Option<u32>,
}

impl Request {
    /// Makes a pair. An error where a device of that name or index is there.
    pub fn add_veth(veth: &Veth<'_>) -> Self {
        let _ = veth;
        todo!()
    }

    /// Makes a bridge. An error where a device of that name or index is there.
    pub fn add_bridge(bridge: &Bridge<'_>) -> Self {
        let _ = bridge;
        todo!()
    }

    /// Makes a VXLAN device. An error where a device of that name or index is there.
    pub fn add_vxlan(vxlan: &VxlanSpec<'_>) -> Self {
        let _ = vxlan;
        todo!()
    }

    /// `ip link set DEV up`, or down.
    pub fn set_up(index: u32, up: bool) -> Self {
        let _ = (index, up);
        todo!()
    }

    /// `ip link set DEV address MAC`.
    pub fn set_mac(index: u32, mac: Mac) -> Self {
        let _ = (index, mac);
        todo!()
    }

    /// `ip link set DEV mtu BYTES`.
    pub fn set_mtu(index: u32, mtu: u32) -> Self {
        let _ = (index, mtu);
        todo!()
    }

    /// `ip link set DEV master BRIDGE`, or nomaster.
    pub fn set_master(index: u32, master: Option<u32>) -> Self {
        let _ = (index, master);
        todo!()
    }

    /// `bridge link set dev DEV hairpin on`, or off: whether a bridge sends a port's frames back to it.
    pub fn set_hairpin(index: u32, on: bool) -> Self {
        let _ = (index, on);
        todo!()
    }

    /// `ip link delete DEV`; a pair goes whole.
    pub fn delete_link(index: u32) -> Self {
        let _ = index;
        todo!()
    }
}

impl Netlink {
    /// All devices, by index.
    pub async fn links(&self) -> Result<Vec<Link>, KernelError> {
        todo!()
    }

    /// The device of that name.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, KernelError> {
        let _ = name;
        todo!()
    }

    /// [`Request::add_veth`]; returns this end's index.
    pub async fn add_veth(&self, veth: &Veth<'_>) -> Result<u32, KernelError> {
        let _ = veth;
        todo!()
    }

    /// [`Request::add_bridge`]; returns its index.
    pub async fn add_bridge(&self, bridge: &Bridge<'_>) -> Result<u32, KernelError> {
        let _ = bridge;
        todo!()
    }

    /// [`Request::add_vxlan`]; returns its index.
    pub async fn add_vxlan(&self, vxlan: &VxlanSpec<'_>) -> Result<u32, KernelError> {
        let _ = vxlan;
        todo!()
    }

    /// [`Request::set_up`].
    pub async fn set_up(&self, index: u32, up: bool) -> Result<(), KernelError> {
        self.apply_one(Request::set_up(index, up)).await
    }

    /// [`Request::set_mac`].
    pub async fn set_mac(&self, index: u32, mac: Mac) -> Result<(), KernelError> {
        self.apply_one(Request::set_mac(index, mac)).await
    }

    /// [`Request::set_mtu`].
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError> {
        self.apply_one(Request::set_mtu(index, mtu)).await
    }

    /// [`Request::delete_link`].
    pub async fn delete_link(&self, index: u32) -> Result<(), KernelError> {
        self.apply_one(Request::delete_link(index)).await
    }
}
