use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// A folder with certificates: `ca` and `other` are CAs, `a` and `b` are `ca`'s for localhost, `old` has expired, `x`
/// is `other`'s.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: String, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    for (ca, names) in [("ca", &["a", "b", "old"][..]), ("other", &["x"])] {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, ca);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        write(format!("{ca}.crt"), issuer.pem());
        for name in names {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            if *name == "old" {
                params.not_after = date_time_ymd(2020, 1, 1);
            }
            let key = KeyPair::generate().unwrap();
            write(format!("{name}.crt"), params.signed_by(&key, &issuer).unwrap().pem());
            write(format!("{name}.key"), key.serialize_pem());
        }
    }
    folder
}

fn profile(folder: &TempDir, ca: &str, own: Option<&str>) -> SslProfile {
    let file = |name: &str| Some(folder.path().join(name));
    SslProfile {
        name: "tls".to_owned(),
        ca: file(&format!("{ca}.crt")),
        certificate: own.and_then(|own| file(&format!("{own}.crt"))),
        key: own.and_then(|own| file(&format!("{own}.key"))),
    }
}

/// Lets two ends talk until both have nothing to say: what each read, or why it stopped.
fn talk(client: &mut Session, server: &mut Session) -> [Result<Vec<u8>, Error>; 2] {
    let mut wires = [Vec::new(), Vec::new()];
    let mut plains = [Scratch::default(), Scratch::default()];
    let mut greeted = [false, false];
    let mut errors = [None, None];
    for round in 0..20 {
        for (me, session) in [&mut *client, &mut *server].into_iter().enumerate() {
            let mut out = Scratch::default();
            if errors[me].is_none() {
                let mut wire = std::mem::take(&mut wires[me]);
                match session.receive(&mut wire, &mut plains[me], &mut out) {
                    Ok(progress) => drop(wire.drain(..progress.consumed)),
                    Err(error) => errors[me] = Some(error),
                }
                if errors[me].is_none() && !greeted[me] && round > 0 {
                    greeted[me] = session.send(&mut wire, b"hello", &mut out).unwrap();
                }
                wires[me] = wire;
            }
            wires[1 - me].extend(out.filled());
        }
    }
    let [client_error, server_error] = errors;
    let [client_plain, server_plain] = plains;
    let done = |error: Option<Error>, plain: Scratch| error.map_or(Ok(plain.filled().to_vec()), Err);
    [done(client_error, client_plain), done(server_error, server_plain)]
}

fn reasons(client: &SslProfile, server: &SslProfile, host: &str, verify: bool) -> [Result<Vec<u8>, String>; 2] {
    let mut one = Session::client(client, host, verify).unwrap();
    let mut other = Session::server(server, true).unwrap();
    let [one, other] = talk(&mut one, &mut other);
    [
        one.map_err(|error| explain(&error, client).to_string()),
        other.map_err(|error| explain(&error, server).to_string()),
    ]
}

#[test]
fn both_ends_show_certificates_and_talk() {
    let folder = certificates();
    let (a, b) = (profile(&folder, "ca", Some("a")), profile(&folder, "ca", Some("b")));
    assert_eq!(reasons(&a, &b, "localhost", true), [Ok(b"hello".to_vec()), Ok(b"hello".to_vec())]);
    assert_eq!(reasons(&a, &b, "elsewhere", false), [Ok(b"hello".to_vec()), Ok(b"hello".to_vec())]);
}

#[test]
fn what_is_refused_is_refused_with_a_reason_at_both_ends() {
    let folder = certificates();
    let good = profile(&folder, "ca", Some("b"));
    let cases = [
        (
            profile(&folder, "other", Some("a")),
            "localhost",
            "isn't signed by a CA in",
            "refuses this router's certificate",
        ),
        (
            profile(&folder, "ca", Some("x")),
            "localhost",
            "isn't signed by a CA that the peer has",
            "isn't signed by a CA in",
        ),
        (profile(&folder, "ca", None), "localhost", "asks for a certificate", "the peer showed no certificate"),
        (profile(&folder, "ca", Some("old")), "localhost", "has expired: renew it", "certificate has expired"),
        (
            profile(&folder, "ca", Some("a")),
            "elsewhere",
            "is for localhost, not for elsewhere",
            "refuses this router's",
        ),
    ];
    for (client, host, at_client, at_server) in cases {
        let [one, other] = reasons(&client, &good, host, true);
        let (one, other) = (one.expect_err(at_client), other.expect_err(at_server));
        assert!(one.contains(at_client), "{one}: should say {at_client}");
        assert!(other.contains(at_server), "{other}: should say {at_server}");
    }
}

#[test]
fn files_that_cant_be_used_are_named() {
    let folder = certificates();
    let good = profile(&folder, "ca", Some("a"));
    let no_key = SslProfile { key: Some(folder.path().join("none.key")), ..good.clone() };
    let wrong = SslProfile { ca: Some(folder.path().join("a.key")), ..good.clone() };
    let no_ca = SslProfile { ca: None, ..good };
    for (profile, expected) in [(no_key, "privateKeyFile"), (wrong, "has no certificate"), (no_ca, "has no caCertFile")]
    {
        let error = Session::client(&profile, "localhost", true).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}: should say {expected}");
    }
}

#[test]
fn bytes_that_are_no_tls_are_refused_however_they_come() {
    let folder = certificates();
    let good = profile(&folder, "ca", Some("a"));
    let mut hello = Scratch::default();
    Session::client(&good, "localhost", true).unwrap().receive(&mut [], &mut Scratch::default(), &mut hello).unwrap();
    let feed = |bytes: &[u8], step: usize| {
        let mut server = Session::server(&good, true).unwrap();
        let (mut wire, mut out) = (Vec::new(), Scratch::default());
        for part in bytes.chunks(step) {
            wire.extend_from_slice(part);
            match server.receive(&mut wire, &mut Scratch::default(), &mut out) {
                Ok(progress) => drop(wire.drain(..progress.consumed)),
                Err(_) => return,
            }
            if server.send(&mut wire, b"x", &mut out).is_err() {
                return;
            }
        }
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let strategy = (changes, proptest::collection::vec(any::<u8>(), 0..60), 1usize..200);
    runner
        .run(&strategy, |(changes, more, step)| {
            let mut bytes = hello.filled().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.extend(more);
            feed(&bytes, step);
            Ok(())
        })
        .unwrap();
}
