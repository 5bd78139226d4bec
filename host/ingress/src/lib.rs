//! An ingress controller's work: [`write()`] turns an ingress into nginx's configuration, [`Nginx`] runs nginx with
//! it on a worker and changes it without losing a request.
//!
//! Invariant: nginx only ever gets a configuration that `nginx -t` has accepted, and who waited for a change meets the
//! old one no more.

mod config;
mod error;
mod nginx;

pub use config::{Backends, write};
pub use error::IngressError;
pub use nginx::{Nginx, access_log};
