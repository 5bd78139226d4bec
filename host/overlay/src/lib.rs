//! Flannel's work: subnet leases in etcd, and the VXLAN device that they describe.
//!
//! The formats are flannel's own (`knetsim_model::flannel`), so that a real flanneld may share the
//! etcd: an [`Agent`] is a peer like any other.

mod agent;
mod device;
mod etcd;
mod member;
mod subnet;

pub use agent::{Agent, AgentError, AgentSpec, AgentState, FLANNEL_LEASE};
pub use etcd::{CLIENT_PORT, CONFIG_KEY, Etcd, EtcdError, SUBNETS};
pub use member::{etcd_command, etcd_environment};
