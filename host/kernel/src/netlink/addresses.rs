//! Addresses of devices: `ip address`.

use ipnet::IpNet;
use knetsim_model::observe::Address;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::links::{Names, name};
use super::{Netlink, Request};
use crate::error::KernelError;

impl Request {
    /// `ip address replace ADDRESS/LENGTH brd + dev DEV` (no broadcast address for /31, /32 and IPv6).
    pub fn add_address(index: u32, address: IpNet) -> Self {
        let doing = format!("add address {address} to link {index}");
        Request::new(RouteNetlinkMessage::NewAddress(build(index, address)), NLM_F_CREATE | NLM_F_REPLACE, doing)
    }

    /// `ip address delete ADDRESS/LENGTH dev DEV`.
    pub fn delete_address(index: u32, address: IpNet) -> Self {
        let doing = format!("delete address {address} of link {index}");
        Request::new(RouteNetlinkMessage::DelAddress(build(index, address)), 0, doing)
            .forgiving(&[Errno::EADDRNOTAVAIL, Errno::ENODEV])
    }
}

fn build(index: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = net.prefix_len();
    message.attributes = vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    match net {
        IpNet::V4(net) => {
            message.header.family = AddressFamily::Inet;
            if net.prefix_len() < 31 {
                message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
            }
        }
        IpNet::V6(_) => message.header.family = AddressFamily::Inet6,
    }
    message
}

/// The kernel's description of an address as an observation.
pub(crate) fn observe(message: &AddressMessage, names: &Names) -> Option<Address> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            // Of two ends, IFA_ADDRESS is the other one.
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(given) => address = address.or(Some(*given)),
            _ => {}
        }
    }
    let scope = match message.header.scope {
        AddressScope::Universe => "global".to_owned(),
        other => other.to_string(),
    };
    let prefix = message.header.prefix_len;
    Some(Address { interface: name(names, message.header.index), address: address?, prefix, scope })
}

impl Netlink {
    /// All addresses, by device.
    pub fn addresses(&self) -> Result<Vec<Address>, KernelError> {
        let names = self.names()?;
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let address = |message| match message {
            RouteNetlinkMessage::NewAddress(address) => observe(&address, &names),
            _ => None,
        };
        Ok(self.dump(all, "list addresses")?.into_iter().filter_map(address).collect())
    }

    /// The addresses of one device: costs the same however many others there are.
    pub fn addresses_of(&self, index: u32) -> Result<Vec<IpNet>, KernelError> {
        let mut of_link = AddressMessage::default();
        of_link.header.index = index;
        let found = self.dump(RouteNetlinkMessage::GetAddress(of_link), &format!("list addresses of link {index}"))?;
        let address = |message| match message {
            RouteNetlinkMessage::NewAddress(address) => observe(&address, &Names::new()),
            _ => None,
        };
        let addresses = found.into_iter().filter_map(address);
        Ok(addresses.filter_map(|found| IpNet::new(found.address, found.prefix).ok()).collect())
    }

    /// [`Request::add_address`].
    pub fn add_address(&self, index: u32, address: IpNet) -> Result<(), KernelError> {
        self.apply([Request::add_address(index, address)])
    }

    /// [`Request::delete_address`].
    pub fn delete_address(&self, index: u32, address: IpNet) -> Result<(), KernelError> {
        self.apply([Request::delete_address(index, address)])
    }
}
