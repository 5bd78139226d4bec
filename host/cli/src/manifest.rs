//! Kubernetes objects that a person gives: read, and said what of them is not done.

use knetsim_model::ingress::IngressSpec;
use knetsim_model::manifest::IngressManifest;
use knetsim_model::{Failure, NodeName};

use crate::output;

/// What to do about an error in an object.
pub(crate) const HINT: &str = "the file holds one object: `kind: Ingress`, `apiVersion: networking.k8s.io/v1`";

/// The ingress that an object of that file is at a worker and a port; warns of what is lost.
///
/// # Errors
/// [`Failure::invalid`] with what can't be done.
pub(crate) fn translate(
    file: &str,
    object: IngressManifest,
    worker: NodeName,
    port: u16,
) -> Result<IngressSpec, Failure> {
    let translated = object.translate(worker, port).map_err(|why| Failure::invalid(format!("{file}: {why}")))?;
    translated.warnings.iter().for_each(|warning| output::warning(&format!("{file}: {warning}")));
    Ok(translated.spec)
}
