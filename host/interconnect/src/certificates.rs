//! Certificates: each site has an authority of its own, which signs its router's certificate and those of the routers
//! that may connect to it. `openssl req -x509`, `openssl x509 -req`.
//!
//! The authority's key stays here: what lies on workers signs nothing.

use knetsim_model::{ClusterName, NodeName};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::error::InterconnectError;

/// A site's certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A certificate with its key, and that of the authority by which the other end is known. All in PEM.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.certificate)
    }
}

impl Authority {
    /// A new one for a site.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn new(site: &ClusterName) -> Result<Authority, InterconnectError> {
        let name = format!("{site} site CA");
        let mut params = params(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed(&name))?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed(&name))?;
        Ok(Authority { issuer })
    }

    /// For the site's own router, which others connect to by its worker's name.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn server(&self, worker: &NodeName) -> Result<Credentials, InterconnectError> {
        let mut params = params(worker.as_str());
        let name = worker.as_str().try_into().map_err(failed(worker.as_str()))?;
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
        self.sign(params, worker.as_str(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For the router of another site, which connects to this one's.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn client(&self, site: &ClusterName) -> Result<Credentials, InterconnectError> {
        self.sign(params(site.as_str()), site.as_str(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<Credentials, InterconnectError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().map_err(failed(name))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed(name))?;
        Ok(Credentials { ca: self.issuer.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "knetsim");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn failed(name: &str) -> impl FnOnce(rcgen::Error) -> InterconnectError {
    move |source| InterconnectError::Certificate { name: name.to_owned(), source }
}
