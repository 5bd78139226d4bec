//! Flannel's work: subnet leases in etcd, and the VXLAN device that they describe.
//!
//! The formats are flannel's own (`knetsim_model::flannel`), so that a real flanneld may share the
//! etcd: an [`Agent`] is a peer like any other.

mod agent;
mod clock;
mod device;
mod drift;
mod etcd;
mod log;
mod member;
mod registry;
mod repair;
mod session;
mod subnet;

pub use agent::{Agent, AgentError, AgentSpec, AgentState};
pub use clock::Clock;
pub use etcd::{CLIENT_PORT, Etcd, EtcdError, MemberStatus};
pub use member::{etcd_answers_peers, etcd_command, etcd_environment};
