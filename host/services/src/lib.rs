//! kube-proxy's work: virtual addresses of services, spread over their endpoints by the kernel.
//!
//! An [`Agent`] on each worker keeps `table ip kube-proxy` in the layout of kube-proxy's nftables mode
//! (Kubernetes 1.33, `pkg/proxy/nftables/proxier.go`), names of chains included, so that what is listed here
//! is what a real node shows.

mod agent;
mod difference;
mod flows;
mod layout;
mod listing;
mod maps;
mod names;
mod table;

pub use agent::{Agent, AgentSpec, ServicesError};
pub use layout::{Desired, Service};
