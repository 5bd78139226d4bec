//! nginx's configuration for an ingress: pure, from typed values that were validated.
//!
//! Kubernetes compares the host first, then the path; nginx does the same by `server` and `location`. A host's request
//! that none of its paths match goes to the default backend, not to the paths of no host. Regular expressions are
//! written as ingress-nginx writes them: `location ~* "^..."`, the longest first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddrV4;

use knetsim_model::IngressName;
use knetsim_model::ingress::{Backend, Host, IngressPath, IngressSpec, PathType};

use crate::nginx::{STATUS, access_log};

/// Where connections to backends go.
pub type Backends = BTreeMap<Backend, SocketAddrV4>;

/// How many connections an ingress may have at the same time, those to backends included.
const CONNECTIONS: u32 = 4096;

/// What is the same for all. Clients' connections are closed after each request: those that wait idly for another one
/// would be closed when nginx gets a new configuration, and a request that is just being sent on one be lost.
const HTTP: &str = r#"
    log_format ingress '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                       '"$http_referer" "$http_user_agent" host=$host to=$upstream_addr '
                       'answered=$upstream_status after=$request_time';
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server_tokens off;
    server_names_hash_bucket_size 512;
    keepalive_timeout 0;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-ID $request_id;
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
"#;

/// The configuration file of an ingress whose backends have those addresses. nginx answers with `generation` and its process where
/// [`Nginx`](crate::Nginx) asks whether it has taken it.
pub fn write(name: &IngressName, spec: &IngressSpec, backends: &Backends, generation: u64) -> String {
    let (connect, timeout) = (spec.connect_timeout.unwrap_or(5), spec.timeout.unwrap_or(60));
    let (log, port) = (access_log(name), spec.port);
    let mut text = format!(
        "# Written by knetsim for ingress {name}: what is changed here lasts until the ingress is changed.\n\
         daemon off;\n\
         # Nobody but root may be there inside.\n\
         user root;\n\
         worker_processes 1;\n\
         pid nginx.pid;\n\
         error_log stderr notice;\n\
         events {{ worker_connections {CONNECTIONS}; }}\n\
         http {{{HTTP}    access_log /{log} ingress;\n    \
         client_max_body_size {};\n    proxy_connect_timeout {connect}s;\n    \
         proxy_send_timeout {timeout}s;\n    proxy_read_timeout {timeout}s;\n",
        spec.max_body.unwrap_or(1 << 20),
    );
    let hosts: BTreeSet<Option<&Host>> = spec.paths.iter().map(|path| path.host.as_ref()).chain([None]).collect();
    for host in hosts {
        let (names, default) = match host {
            None => ("_".to_owned(), " default_server"),
            Some(Host::Exact(name)) => (name.clone(), ""),
            // `*.` of nginx's own would match several labels.
            Some(Host::Wildcard(rest)) => (format!("\"~^[^.]+\\.{}$\"", rest.replace('.', "\\.")), ""),
        };
        let paths = spec.paths.iter().filter(|path| path.host.as_ref() == host);
        let _ = write!(text, "    server {{\n        listen {port}{default};\n        server_name {names};\n");
        for (location, to) in locations(paths, backends, spec.default.as_ref()) {
            let _ = writeln!(text, "        location {location} {{ {to}; }}");
        }
        text.push_str("    }\n");
    }
    let _ = write!(
        text,
        "    # By this knetsim sees that a change is in force.\n    server {{\n        listen {STATUS}:{port};\n        \
         access_log off;\n        keepalive_timeout 1d;\n        location / {{ return 200 \"{generation} $pid\"; }}\n    }}\n}}\n"
    );
    text
}

/// The locations of a host, and what is done there, in the order in which nginx tries regular expressions.
fn locations<'a>(
    paths: impl Iterator<Item = &'a IngressPath>,
    backends: &Backends,
    default: Option<&Backend>,
) -> Vec<(String, String)> {
    let pass = |backend: &Backend, path: &str| {
        let address = backends.get(backend).map_or_else(String::new, ToString::to_string);
        format!("proxy_pass \"http://{address}{path}\"")
    };
    let everything = default.map_or_else(|| "return 404".to_owned(), |backend| pass(backend, ""));
    let mut found = BTreeMap::from([("/".to_owned(), everything)]);
    let paths: Vec<_> = paths.collect();
    let of = |path_type| paths.iter().filter(move |path| path.path_type == path_type);
    for path in of(PathType::Prefix) {
        // nginx compares letter by letter, so the slash belongs to it; the path without it is another location.
        let (whole, below) = match path.rewrite.as_deref() {
            None => (String::new(), String::new()),
            Some("/") => ("/".to_owned(), "/".to_owned()),
            Some(rewrite) => (rewrite.to_owned(), format!("{}/", rewrite.trim_end_matches('/'))),
        };
        let to_below = match path.drop_rest {
            false => pass(&path.backend, &below),
            true => format!("rewrite ^ \"{whole}\" break; {}", pass(&path.backend, "")),
        };
        match path.prefix() {
            "" => drop(found.insert("/".to_owned(), to_below)),
            prefix => {
                found.insert(format!("= \"{prefix}\""), pass(&path.backend, &whole));
                found.insert(format!("\"{prefix}/\""), to_below);
            }
        }
    }
    // After the prefixes: where both are the same path, this one counts.
    for path in of(PathType::Exact) {
        let rewrite = path.rewrite.as_deref().unwrap_or_default();
        found.insert(format!("= \"{}\"", path.path), pass(&path.backend, rewrite));
    }
    let mut expressions: Vec<_> = of(PathType::Regex).collect();
    expressions.sort_by(|one, other| (other.path.len(), &other.path).cmp(&(one.path.len(), &one.path)));
    let expressions = expressions.into_iter().map(|path| {
        let (expression, to) = (quoted(&path.path), pass(&path.backend, ""));
        // The same expression once more: its groups are those of the location's, whatever came between.
        let rewrite = path.rewrite.as_ref().map(|target| format!("rewrite \"(?i){expression}\" \"{target}\" break; "));
        (format!("~* \"^{expression}\""), format!("{}{to}", rewrite.unwrap_or_default()))
    });
    found.into_iter().chain(expressions).collect()
}

/// What stands between quotes for that text: nginx takes a backslash away before another one and before a quote.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "these are parts of tests")]
mod tests {
    use super::*;

    fn spec(paths: &[&str], exact: &[&str], default: Option<&str>) -> IngressSpec {
        let exact = exact.iter().map(|text| IngressPath { path_type: PathType::Exact, ..text.parse().unwrap() });
        let paths = paths.iter().map(|text| text.parse().unwrap()).chain(exact).collect();
        let (worker, default) = ("C0w1".parse().unwrap(), default.map(|text| text.parse().unwrap()));
        IngressSpec { worker, port: 8001, paths, default, connect_timeout: None, timeout: None, max_body: None }
    }

    fn written(spec: &IngressSpec) -> String {
        let number = |text: &str| text.rsplit('.').next().and_then(|last| last.split(':').next()?.parse().ok());
        let backends = spec.backends().map(|backend| {
            let last = number(&backend.to_string()).unwrap_or(1);
            (backend.clone(), SocketAddrV4::new([100, 64, 0, last].into(), backend.port))
        });
        write(&"grp1".parse().unwrap(), spec, &backends.collect(), 7)
    }

    /// What nginx does with a request, by its own rules: the server's name, then the exact location, then the longest.
    fn goes_to(text: &str, host: &str, path: &str) -> String {
        let servers: Vec<&str> = text.split("    server {\n").skip(1).collect();
        let named = |server: &&&str| {
            let name = server.lines().nth(1).unwrap().trim().trim_start_matches("server_name ").trim_end_matches(';');
            match name.strip_prefix("\"~^[^.]+\\.") {
                Some(rest) => {
                    let rest = rest.trim_end_matches("$\"").replace("\\.", ".");
                    host.split_once('.').is_some_and(|(_, of)| of == rest)
                }
                None => name == host,
            }
        };
        let server =
            servers.iter().find(named).or_else(|| servers.iter().find(|s| s.contains("default_server"))).unwrap();
        let mut best: Option<(usize, &str)> = None;
        for line in server.lines().filter_map(|line| line.trim().strip_prefix("location ")) {
            let (location, to) = line.split_once(" { ").unwrap();
            let (exact, bare) = location.strip_prefix("= ").map_or((false, location), |bare| (true, bare));
            let bare = bare.trim_matches('"');
            let length = match exact {
                true if bare == path => usize::MAX,
                false if path.starts_with(bare) => bare.len(),
                _ => continue,
            };
            if best.is_none_or(|(longest, _)| length > longest) {
                best = Some((length, to));
            }
        }
        let to = best.unwrap().1.trim_end_matches("; }");
        to.replace("proxy_pass \"http://100.64.0.", "").trim_end_matches('"').to_owned()
    }

    #[test]
    fn paths_match_as_kubernetes_says() {
        // The table of its documentation of ingresses.
        for (kind, path, asked, matches) in [
            ("prefix", "/", "/any/thing", true),
            ("exact", "/foo", "/foo", true),
            ("exact", "/foo", "/bar", false),
            ("exact", "/foo", "/foo/", false),
            ("exact", "/foo/", "/foo", false),
            ("prefix", "/foo", "/foo", true),
            ("prefix", "/foo", "/foo/", true),
            ("prefix", "/foo/", "/foo", true),
            ("prefix", "/foo/", "/foo/", true),
            ("prefix", "/aaa/bb", "/aaa/bbb", false),
            ("prefix", "/aaa/bbb", "/aaa/bbb", true),
            ("prefix", "/aaa/bbb/", "/aaa/bbb", true),
            ("prefix", "/aaa/bbb", "/aaa/bbb/", true),
            ("prefix", "/aaa/bbb", "/aaa/bbb/ccc", true),
            ("prefix", "/aaa/bbb", "/aaa/bbbxyz", false),
            ("prefix", "/foo", "/FOO", false),
        ] {
            let path = format!("{path}=10.0.0.9:80");
            let spec = if kind == "exact" { spec(&[], &[&path], None) } else { spec(&[&path], &[], None) };
            let expected = if matches { "9:80" } else { "return 404" };
            assert_eq!(goes_to(&written(&spec), "x", asked), expected, "{kind} {path} {asked}");
        }
    }

    #[test]
    fn of_several_the_longest_counts_and_exact_before_prefix() {
        let prefixes = ["/=10.0.0.1:80", "/aaa=10.0.0.2:80", "/aaa/bbb=10.0.0.3:80"];
        let text = written(&spec(&prefixes, &["/aaa=10.0.0.4:80"], None));
        for (asked, to) in
            [("/x", "1:80"), ("/aaa", "4:80"), ("/aaa/", "2:80"), ("/aaa/b", "2:80"), ("/aaa/bbb/c", "3:80")]
        {
            assert_eq!(goes_to(&text, "x", asked), to, "{asked}");
        }
    }

    #[test]
    fn the_host_is_compared_first() {
        let paths = ["/=10.0.0.1:80", "a.shop.example/in=10.0.0.2:80", "*.shop.example/=10.0.0.3:80"];
        let text = written(&spec(&paths, &[], Some("10.0.0.9:80")));
        for (host, asked, to) in [
            ("else", "/in", "1:80"),
            ("a.shop.example", "/in/side", "2:80"),
            ("a.shop.example", "/out", "9:80"),
            ("b.shop.example", "/out", "3:80"),
            ("c.b.shop.example", "/out", "1:80"),
            ("shop.example", "/out", "1:80"),
        ] {
            assert_eq!(goes_to(&text, host, asked), to, "{host}{asked}");
        }
    }

    #[test]
    fn a_prefix_is_rewritten_at_an_element() {
        let text =
            written(&spec(&["/a=10.0.0.1:80/", "/b=10.0.0.1:80/x/y", "/c=10.0.0.1:80"], &["/d=10.0.0.1:80/z"], None));
        // What stands behind the address replaces what the location is called.
        for (asked, to) in [
            ("/a", "1:80/"),
            ("/a/1", "1:80/"),
            ("/b", "1:80/x/y"),
            ("/b/1", "1:80/x/y/"),
            ("/c/1", "1:80"),
            ("/d", "1:80/z"),
        ] {
            assert_eq!(goes_to(&text, "x", asked), to, "{asked}");
        }
        let mut whole = spec(&["/a=10.0.0.1:80/x;y"], &[], None);
        whole.paths[0].drop_rest = true;
        assert_eq!(goes_to(&written(&whole), "x", "/a"), "1:80/x;y");
        assert_eq!(goes_to(&written(&whole), "x", "/a/1"), "rewrite ^ \"/x;y\" break; 1:80");
        let root = written(&spec(&["/=10.0.0.1:80/x"], &[], None));
        assert_eq!(goes_to(&root, "x", "/1"), "1:80/x/");
    }

    fn expressions(paths: &[&str]) -> IngressSpec {
        let regex = |text: &&str| IngressPath { path_type: PathType::Regex, ..text.parse().unwrap() };
        let paths = paths.iter().map(regex).collect();
        IngressSpec { paths, ..spec(&[], &[], None) }
    }

    #[test]
    fn regular_expressions_are_tried_from_the_longest_on() {
        let text = written(&expressions(&["/=10.0.0.1:80", "/a/(.*)=10.0.0.2:80/$1", "/b/[0-9]+=10.0.0.3:80"]));
        let found: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("location ~* ")).collect();
        let expected = [
            r#""^/b/[0-9]+" { proxy_pass "http://100.64.0.3:80"; }"#,
            r#""^/a/(.*)" { rewrite "(?i)/a/(.*)" "/$1" break; proxy_pass "http://100.64.0.2:80"; }"#,
            r#""^/" { proxy_pass "http://100.64.0.1:80"; }"#,
        ];
        assert_eq!(found, expected);
    }

    /// The words of a configuration as nginx reads them (ngx_conf_read_token): in quotes a backslash goes before quotes,
    /// backslashes, `t`, `r` and `n`.
    fn tokens(text: &str) -> Vec<String> {
        let (mut found, mut letters) = (Vec::new(), text.chars().peekable());
        while let Some(first) = letters.next() {
            match first {
                ';' | '{' | '}' => found.push(first.to_string()),
                '#' => while letters.next_if(|c| *c != '\n').is_some() {},
                quote @ ('"' | '\'') => {
                    let mut word = String::from("q:");
                    while let Some(c) = letters.next().filter(|c| *c != quote) {
                        let escaped = |c: &char| matches!(c, '"' | '\'' | '\\' | 't' | 'r' | 'n');
                        let next = if c == '\\' { letters.peek().copied() } else { None };
                        word.push(c);
                        match next {
                            Some(next) if escaped(&next) => {
                                word.pop();
                                word.push(if next.is_alphabetic() { '\n' } else { next });
                                letters.next();
                            }
                            Some(next) => {
                                word.push(next);
                                letters.next();
                            }
                            None => {}
                        }
                    }
                    found.push(word);
                }
                space if space.is_whitespace() => {}
                _ => {
                    let mut word = first.to_string();
                    while let Some(c) = letters.next_if(|c| !c.is_whitespace() && !";{".contains(*c)) {
                        word.push(c);
                    }
                    found.push(word);
                }
            }
        }
        found
    }

    proptest::proptest! {
        /// Whatever is taken as a path and a rewrite stays one word of the configuration, and adds no other.
        #[test]
        fn nothing_leads_out_of_its_quotes(
            path in "/[ -~]{0,12}",
            wild in "\\PC{0,8}[\"';{}$\\\\\n\u{0}#]{0,4}",
            target in "[/$][ -~]{0,8}",
            kind in 0..3,
        ) {
            let path_type = [PathType::Prefix, PathType::Exact, PathType::Regex][kind as usize];
            let harmless = tokens(&written(&IngressSpec {
                paths: vec![IngressPath { path_type, rewrite: Some("/x".into()), ..path_of("/a") }],
                ..spec(&[], &[], None)
            }));
            for (path, target) in [(path.clone(), target.clone()), (format!("/{wild}"), target), (path, format!("/{wild}"))] {
                let one = IngressPath { path: path.clone(), path_type, rewrite: Some(target.clone()), ..path_of("/a") };
                let spec = IngressSpec { paths: vec![one], ..spec(&[], &[], None) };
                if spec.validate().is_err() {
                    continue;
                }
                let found = tokens(&written(&spec));
                // The path `/` needs no location of its own.
                if path.len() > 1 {
                    let bare = |words: &[String]| -> Vec<_> {
                        words.iter().filter(|word| !word.starts_with("q:")).cloned().collect()
                    };
                    proptest::prop_assert_eq!(bare(&found), bare(&harmless), "{:?} {:?}", path, target);
                }
                if path_type == PathType::Regex {
                    for word in [format!("q:^{path}"), format!("q:(?i){path}"), format!("q:{target}")] {
                        proptest::prop_assert!(found.contains(&word), "{word:?}: {found:?}");
                    }
                }
            }
        }
    }

    fn path_of(path: &str) -> IngressPath {
        format!("{path}=10.0.0.1:80").parse().unwrap()
    }

    #[test]
    fn limits_are_written() {
        let limited = IngressSpec {
            timeout: Some(3),
            connect_timeout: Some(2),
            max_body: Some(0),
            ..spec(&["/=10.0.0.1:80"], &[], None)
        };
        let text = written(&limited);
        for line in
            ["client_max_body_size 0;", "proxy_connect_timeout 2s;", "proxy_read_timeout 3s;", "return 200 \"7 $pid\";"]
        {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
