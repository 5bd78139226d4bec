use super::*;

/// What the course shows.
const LEFT: &str = r#"[
    ["router", {"id": "c0", "mode": "interior", "helloMaxAgeSeconds": "3", "metadata": "..."}],
    # who connects
    ["listener", {"name": "interior-listener", "role": "inter-router", "port": 55671,
                  "maxFrameSize": 16384, "maxSessionFrames": 640}],
    ["tcpConnector", {"name": "backend", "host": "localhost", "port": "8090", "address": "backend:8080", "siteId": "c1"}]
]"#;

const CONF: &str = r"
router {
    mode: interior   # not standalone
    id: c1
}
ssl-profile {
    name: tls
    ca-cert-file: /ca.crt
    cert-file: /c1.crt
    private-key-file: /c1.key
}
connector {
    name: link1
    role: inter-router
    host: c0.example
    port: 55671
    cost: 5
    sslProfile: tls
    saslMechanisms: EXTERNAL
    verifyHostname: no
    openProperties: {
        x: y
    }
}
tcpListener {
    port: 1028
    address: backend:8080
}
address {
    prefix: near
    distribution: closest
}
";

#[test]
fn the_courses_json_is_read() {
    let config = Config::parse(LEFT, true).unwrap();
    assert_eq!((config.id.as_str(), config.hello_max_age), ("c0", Duration::from_secs(3)));
    let [listener] = &config.listeners[..] else { panic!("{config:?}") };
    assert_eq!((listener.peering.port, listener.peering.max_frame), (55671, 16384));
    assert!(listener.peering.session_frames <= 640 && listener.peering.tls.is_none());
    assert_eq!(config.tcp_connectors[0].port, 8090);
}

#[test]
fn the_older_syntax_says_the_same_things() {
    let config = Config::parse(CONF, false).unwrap();
    let [connector] = &config.connectors[..] else { panic!("{config:?}") };
    assert_eq!((connector.peering.cost, connector.verify_hostname), (5, false));
    assert_eq!(connector.peering.mechanisms, ["EXTERNAL"]);
    assert_eq!(connector.peering.tls.as_ref().unwrap().ca, Some("/ca.crt".into()));
    assert_eq!(config.tcp_listeners[0].address, "backend:8080");
    assert_eq!(config.addresses, [("near".to_owned(), Distribution::Closest)]);
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        (r#"[["router", {"id": "a"}], ["conector", {}]]"#, "section \"conector\" is unknown"),
        (r#"[["router", {"id": "a"}], ["autoLink", {}]]"#, "section \"autoLink\" is not supported"),
        (r#"[["router", {"id": "a", "Mode": "interior"}]]"#, "is \"mode\" meant?"),
        (r#"[["router", {"id": "a", "colour": "red"}]]"#, "attribute \"colour\": unknown: router has id, vanId"),
        (r#"[["router", {"mode": "interior"}]]"#, "attribute \"id\": is missing"),
        (r#"[["router", {"id": "a", "mode": "edge"}]]"#, "edge routers are not supported"),
        (r#"[["tcpListener", {"port": 1}]]"#, "no section \"router\""),
        (
            r#"[["router", {"id": "a"}], ["tcpListener", {"name": "w", "port": 1}]]"#,
            "tcpListener \"w\", attribute \"address\"",
        ),
        (
            r#"[["router", {"id": "a"}], ["connector", {"role": "inter-router", "sslProfile": "x"}]]"#,
            "no sslProfile \"x\"",
        ),
        (r#"[["router", {"id": "a"}], ["listener", {"port": 5672}]]"#, "clients of their own"),
        (
            r#"[["router", {"id": "a"}], ["connector", {"role": "inter-router", "port": "http"}]]"#,
            "\"http\" isn't a port",
        ),
        ("[[", "isn't what skrouterd reads"),
    ];
    for (text, expected) in cases {
        let error = Config::parse(text, true).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} should say {expected}");
    }
    let error = Config::parse("router {\n id c0\n}", false).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
}
