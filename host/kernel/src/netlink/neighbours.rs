//! Neighbour entries and forwarding entries: `ip neighbour`, `bridge fdb`.

use std::net::IpAddr;

use knetsim_model::observe::{FdbEntry, Neighbour};

use super::{Mac, Netlink, Request};
use crate::error::KernelError;

impl Request {
    /// `ip neighbour replace ADDRESS lladdr MAC dev DEV nud permanent`.
    pub fn replace_neighbour(index: u32, address: IpAddr, mac: Mac) -> Self {
        let _ = (index, address, mac);
        todo!()
    }

    /// `ip neighbour delete ADDRESS dev DEV`.
    pub fn delete_neighbour(index: u32, address: IpAddr) -> Self {
        let _ = (index, address);
        todo!()
    }

    /// `bridge fdb replace MAC dev DEV dst DESTINATION self permanent`: where a VXLAN device sends frames for it.
    pub fn replace_fdb(index: u32, mac: Mac, destination: IpAddr) -> Self {
        let _ = (index, mac, destination);
        todo!()
    }

    /// `bridge fdb delete MAC dev DEV dst DESTINATION self`.
    pub fn delete_fdb(index: u32, mac: Mac, destination: IpAddr) -> Self {
        let _ = (index, mac, destination);
        todo!()
    }
}

impl Netlink {
    /// All neighbour entries.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, KernelError> {
        todo!()
    }

    /// All forwarding entries of bridges and VXLAN devices.
    pub async fn fdb(&self) -> Result<Vec<FdbEntry>, KernelError> {
        todo!()
    }

    /// [`Request::replace_neighbour`].
    pub async fn replace_neighbour(&self, index: u32, address: IpAddr, mac: Mac) -> Result<(), KernelError> {
        self.apply_one(Request::replace_neighbour(index, address, mac)).await
    }

    /// [`Request::delete_neighbour`].
    pub async fn delete_neighbour(&self, index: u32, address: IpAddr) -> Result<(), KernelError> {
        self.apply_one(Request::delete_neighbour(index, address)).await
    }

    /// [`Request::replace_fdb`].
    pub async fn replace_fdb(&self, index: u32, mac: Mac, destination: IpAddr) -> Result<(), KernelError> {
        self.apply_one(Request::replace_fdb(index, mac, destination)).await
    }

    /// [`Request::delete_fdb`].
    pub async fn delete_fdb(&self, index: u32, mac: Mac, destination: IpAddr) -> Result<(), KernelError> {
        self.apply_one(Request::delete_fdb(index, mac, destination)).await
    }
}
