//! TLS between routers, by rustls: configurations out of an sslProfile, a session without input or output, and
//! errors in words that say what to do.
//!
//! Files are read for every connection, so that a renewed certificate is taken without a restart.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::channel::Scratch;
use crate::config::SslProfile;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("sslProfile {profile:?}, {attribute} {file}: {problem}")]
    File { profile: String, attribute: &'static str, file: String, problem: String },
    #[error("sslProfile {profile:?} has no {attribute}: {why}")]
    Missing { profile: String, attribute: &'static str, why: &'static str },
    #[error("sslProfile {profile:?}: {problem}")]
    Profile { profile: String, problem: String },
    #[error("{host:?} can't be a name in a certificate")]
    Host { host: String },
    #[error("{0}")]
    Handshake(String),
}

/// One end of a TLS connection: wire bytes in, plain text out and back.
pub(crate) enum Session {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What a run over wire bytes came to.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Wire bytes that are done with.
    pub(crate) consumed: usize,
    /// The peer said that it will send no more.
    pub(crate) closed: bool,
}

impl Session {
    /// For a connection to `host`.
    pub(crate) fn client(profile: &SslProfile, host: &str, verify_hostname: bool) -> Result<Self, TlsError> {
        let why = "there is nothing to check the peer's certificate against";
        let ca = profile.ca.as_deref().ok_or_else(|| missing(profile, "caCertFile", why))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(profile, ca)?.into(), provider.clone())
            .build()
            .map_err(|error| bad(profile, &error))?;
        let verifier: Arc<dyn ServerCertVerifier> =
            if verify_hostname { verifier } else { Arc::new(AnyName { inner: verifier }) };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(profile, &error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match own(profile)? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| bad(profile, &error))?,
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host { host: host.to_owned() })?;
        let session = UnbufferedClientConnection::new(config.into(), name).map_err(|error| bad(profile, &error))?;
        Ok(Session::Client(Box::new(session)))
    }

    /// For a connection that came in; with `authenticate`, its peer must show a certificate.
    pub(crate) fn server(profile: &SslProfile, authenticate: bool) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(profile, &error))?;
        let builder = match &profile.ca {
            Some(ca) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots(profile, ca)?.into(), provider);
                let verifier = if authenticate { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| bad(profile, &error))?)
            }
            None => builder.with_no_client_auth(),
        };
        let why = "a listener shows one";
        let (chain, key) = own(profile)?.ok_or_else(|| missing(profile, "certFile", why))?;
        let config = builder.with_single_cert(chain, key).map_err(|error| bad(profile, &error))?;
        let session = UnbufferedServerConnection::new(config.into()).map_err(|error| bad(profile, &error))?;
        Ok(Session::Server(Box::new(session)))
    }

    /// Decrypts what has arrived: plain text is appended to `plain`, what is to be answered to `out`.
    pub(crate) fn receive(
        &mut self,
        wire: &mut [u8],
        plain: &mut Scratch,
        out: &mut Scratch,
    ) -> Result<Progress, Error> {
        let mut progress = Progress::default();
        loop {
            let rest = wire.get_mut(progress.consumed..).unwrap_or_default();
            let (consumed, step) = self.step(rest, plain, out);
            match step {
                Ok(Step::Again) => progress.consumed += consumed,
                Ok(Step::Waiting) => {
                    progress.consumed += consumed;
                    return Ok(progress);
                }
                Ok(Step::Closed) => {
                    let consumed = progress.consumed + consumed;
                    return Ok(Progress { consumed, closed: true });
                }
                Err(error) => {
                    // The next step hands out the alert that tells the peer why; there must be no other after it.
                    let rest = wire.get_mut(progress.consumed + consumed..).unwrap_or_default();
                    let _ = self.step(rest, plain, out);
                    return Err(error);
                }
            }
        }
    }

    fn step(&mut self, wire: &mut [u8], plain: &mut Scratch, out: &mut Scratch) -> (usize, Result<Step, Error>) {
        let step = guarded(|| match self {
            Session::Client(session) => step(session.process_tls_records(wire), plain, out),
            Session::Server(session) => step(session.process_tls_records(wire), plain, out),
        });
        step.unwrap_or_else(|error| (0, Err(error)))
    }

    /// Encrypts `plain` and appends it to `out`; false while the handshake isn't over. `wire` is what has arrived and
    /// isn't a whole record yet: the session keeps places in it.
    pub(crate) fn send(&mut self, wire: &mut [u8], plain: &[u8], out: &mut Scratch) -> Result<bool, Error> {
        guarded(|| match self {
            Session::Client(session) => encrypt(session.process_tls_records(wire), plain, out),
            Session::Server(session) => encrypt(session.process_tls_records(wire), plain, out),
        })?
    }
}

/// An assertion of rustls's that a peer gets to fail costs that peer's connection, not the router. (One did, in the
/// test below, before alerts were handed out as they are now.)
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Error::General("the TLS library gave up".to_owned()))
}

/// What one step over the wire's bytes was.
enum Step {
    Again,
    /// For more bytes, or for something to send.
    Waiting,
    Closed,
}

fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Scratch,
    out: &mut Scratch,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let state = match state {
        Ok(state) => state,
        Err(error) => return (discard, Err(error)),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.push(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Step::Again),
            }
        },
        ConnectionState::EncodeTlsData(mut data) => grow(out, |out| match data.encode(out) {
            Ok(written) => Ok(Ok(written)),
            Err(EncodeError::InsufficientSize(size)) => Err(size.required_size),
            Err(error) => Ok(Err(Error::General(error.to_string()))),
        })
        .map(|()| Step::Again),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Step::Closed),
        // Early data is not offered.
        _ => Ok(Step::Waiting),
    };
    (discard, step)
}

fn encrypt<Data>(status: UnbufferedStatus<'_, '_, Data>, plain: &[u8], out: &mut Scratch) -> Result<bool, Error> {
    let ConnectionState::WriteTraffic(mut traffic) = status.state? else { return Ok(false) };
    grow(out, |out| match traffic.encrypt(plain, out) {
        Ok(written) => Ok(Ok(written)),
        Err(EncryptError::InsufficientSize(size)) => Err(size.required_size),
        Err(error) => Ok(Err(Error::General(error.to_string()))),
    })?;
    Ok(true)
}

/// Appends to `out` what `write` writes, which says how much room it needs where there is too little.
fn grow(
    out: &mut Scratch,
    mut write: impl FnMut(&mut [u8]) -> Result<Result<usize, Error>, usize>,
) -> Result<(), Error> {
    let mut room = 0;
    loop {
        match write(out.room(room)) {
            Ok(written) => return written.map(|count| out.grow(count)),
            Err(needed) => room = needed,
        }
    }
}

fn missing(profile: &SslProfile, attribute: &'static str, why: &'static str) -> TlsError {
    TlsError::Missing { profile: profile.name.clone(), attribute, why }
}

fn bad(profile: &SslProfile, error: &impl ToString) -> TlsError {
    TlsError::Profile { profile: profile.name.clone(), problem: error.to_string() }
}

fn unreadable(profile: &SslProfile, attribute: &'static str, file: &Path, problem: String) -> TlsError {
    TlsError::File { profile: profile.name.clone(), attribute, file: file.display().to_string(), problem }
}

fn certificates(
    profile: &SslProfile,
    attribute: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain: Vec<_> = read.map_err(|error| unreadable(profile, attribute, file, error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable(profile, attribute, file, "it has no certificate".to_owned()));
    }
    Ok(chain)
}

fn roots(profile: &SslProfile, ca: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(profile, "caCertFile", ca)? {
        roots.add(certificate).map_err(|error| unreadable(profile, "caCertFile", ca, error.to_string()))?;
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own(profile: &SslProfile) -> Result<Option<Identity>, TlsError> {
    let (Some(certificate), Some(key)) = (&profile.certificate, &profile.key) else { return Ok(None) };
    let chain = certificates(profile, "certFile", certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unreadable(profile, "privateKeyFile", key, error.to_string()))?;
    Ok(Some((chain, key)))
}

/// skrouterd's `verifyHostname: no`: the peer's certificate must be signed by the CA, but may be anybody's.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(certificate, between, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The names that a certificate is for, which rustls gives as `DnsName("…")`.
fn names(presented: &[String]) -> String {
    let names: Vec<&str> = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

/// What went wrong, and what to do about it. `profile` is this end's.
pub(crate) fn explain(error: &Error, profile: &SslProfile) -> TlsError {
    let name = &profile.name;
    let file =
        |file: &Option<std::path::PathBuf>| file.as_ref().map_or("-".to_owned(), |file| file.display().to_string());
    let (ca, own) = (file(&profile.ca), file(&profile.certificate));
    TlsError::Handshake(match error {
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => format!(
                "the peer's certificate isn't signed by a CA in {ca} (caCertFile of sslProfile {name:?}): \
                 give both ends certificates of one CA"
            ),
            CertificateError::BadSignature => {
                format!("the peer's certificate isn't signed by the CA in {ca} that it names: was the CA made anew?")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the peer's certificate has expired: renew it at the peer".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the peer's certificate isn't valid yet: compare the two machines' clocks".to_owned()
            }
            CertificateError::NotValidForNameContext { expected, presented } => format!(
                "the peer's certificate is for {}, not for {}: connect to one of these names, or set verifyHostname \
                 to no",
                names(presented),
                expected.to_str()
            ),
            other => format!("the peer's certificate can't be used: {other}"),
        },
        Error::NoCertificatesPresented => {
            "the peer showed no certificate: its sslProfile needs a certFile and a privateKeyFile".to_owned()
        }
        Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA => format!(
                "the peer refuses this router's certificate {own}: it isn't signed by a CA that the peer has in its \
                 caCertFile"
            ),
            AlertDescription::CertificateExpired => {
                format!("the peer says that this router's certificate {own} has expired: renew it")
            }
            AlertDescription::CertificateRequired => {
                format!("the peer asks for a certificate: sslProfile {name:?} needs a certFile and a privateKeyFile")
            }
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError => {
                format!("the peer refuses this router's certificate {own}: the peer's log says why")
            }
            AlertDescription::HandshakeFailure => format!(
                "the peer broke the handshake off: it may ask for a certificate that sslProfile {name:?} doesn't have"
            ),
            other => format!("the peer broke the handshake off: {other:?}"),
        },
        Error::InvalidMessage(_) => "the peer doesn't speak TLS here: has it no sslProfile?".to_owned(),
        other => format!("TLS with the peer: {other}"),
    })
}

#[cfg(test)]
mod tests;
