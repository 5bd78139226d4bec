//! The Container Network Interface (specification 1.1): a runtime, and the plugins flannel, bridge,
//! host-local and loopback, over netlink.
//!
//! ```text
//! Runtime        add, del, check, gc, status over a configuration list: chains, prevResult, cache
//!   Plugins      who runs a plugin: this process, or an executable in CNI_PATH
//!     flannel    subnet.env -> a configuration for ...
//!     bridge     cni0, the veth pair, addresses, routes; its addresses from ...
//!     host-local files under /var/lib/cni/networks
//! ```
//!
//! In the supervisor nothing is executed: the plugins are functions and the kernel is spoken to over
//! netlink. The same code answers as executables ([`main_by_name`]): as plugins to anybody's runtime,
//! and as `cnitool`, which runs anybody's plugins.
//!
//! Invariant: what is left in the kernel and under `/run`, `/etc/cni` and `/var/lib/cni` of the node is
//! what the plugins of containernetworking/plugins 1.9 and flannel-io/cni-plugin 1.9 leave, names and
//! contents of files included, so that both kinds can take turns on one node.
//! `tests/specs` holds the cases of their own tests as data; what is not done here stands in it with its reason.

mod attachment;
mod cache;
mod cnitool;
mod config;
mod error;
mod exec;
mod files;
mod generate;
mod main_by_name;
mod plugins;
mod result;
mod runtime;
mod version;

pub use attachment::Attachment;
pub use cnitool::container_id;
pub use config::NetworkList;
pub use error::{Error, Report};
pub use generate::{CONFIGURATION_FILE, configuration};
pub use main_by_name::main_by_name;
pub use result::{AddResult, Dns, Interface, Ip, Route};
pub use runtime::Runtime;
pub use version::Version;
