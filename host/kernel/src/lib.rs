//! The only layer that calls the kernel: netlink, nftables, namespaces, mounts.

pub mod conntrack;
pub mod error;
pub mod files;
pub mod limits;
pub mod log_file;
pub mod monitor;
pub mod mounts;
pub mod namespaces;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod packets;
pub mod processes;
pub mod seccomp;
pub mod sockets;
pub mod sysctl;
pub mod title;

pub use error::KernelError;
pub use netns::{NetNs, Visitor};
