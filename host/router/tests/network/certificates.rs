//! Certificates of an authority of the test's own, and sections that use them.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

/// Writes `ca.crt`, and for each name a certificate of that CA for localhost, with its key.
pub(crate) fn certificates(folder: &Path, names: &[&str]) {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let write = |name: String, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("ca.crt".to_owned(), issuer.pem());
    for name in names {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        write(format!("{name}.crt"), params.signed_by(&key, &issuer).unwrap().pem());
        write(format!("{name}.key"), key.serialize_pem());
    }
}

pub(crate) fn ssl_profile(folder: &Path, name: &str) -> Value {
    let file = |name: String| folder.join(name).display().to_string();
    json!(["sslProfile", {"name": "tls", "caCertFile": file("ca.crt".to_owned()),
        "certFile": file(format!("{name}.crt")), "privateKeyFile": file(format!("{name}.key"))}])
}

pub(crate) fn with_tls(section: &Value, more: &Value) -> Value {
    let mut section = section.clone();
    let attributes = section[1].as_object_mut().unwrap();
    attributes.insert("sslProfile".to_owned(), json!("tls"));
    attributes.insert("saslMechanisms".to_owned(), json!("EXTERNAL"));
    attributes.extend(more.as_object().unwrap().clone());
    section
}
