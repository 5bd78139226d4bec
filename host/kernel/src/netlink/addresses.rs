//! Addresses of devices: `ip address`.

use ipnet::IpNet;
use knetsim_model::observe::Address;

use super::{Netlink, Request};
use crate::error::KernelError;

impl Request {
    /// `ip address replace ADDRESS/LENGTH brd + dev DEV` (no broadcast address for /31, /32 and IPv6).
    pub fn add_address(index: u32, address: IpNet) -> Self {
        let _ = (index, address);
        todo!()
    }

    /// `ip address delete ADDRESS/LENGTH dev DEV`.
    pub fn delete_address(index: u32, address: IpNet) -> Self {
        let _ = (index, address);
        todo!()
    }
}

impl Netlink {
    /// All addresses, by device.
    pub async fn addresses(&self) -> Result<Vec<Address>, KernelError> {
        todo!()
    }

    /// [`Request::add_address`].
    pub async fn add_address(&self, index: u32, address: IpNet) -> Result<(), KernelError> {
        self.apply_one(Request::add_address(index, address)).await
    }

    /// [`Request::delete_address`].
    pub async fn delete_address(&self, index: u32, address: IpNet) -> Result<(), KernelError> {
        self.apply_one(Request::delete_address(index, address)).await
    }
}
