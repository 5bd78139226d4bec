//! Annotations of an Ingress: what is done, what is refused, what is lost with a warning.
//!
//! An annotation is refused where a request that the object wants to be turned away would be answered here, where
//! requests would go elsewhere than it says, or where nobody can tell: access is never weakened without a word.

use std::collections::BTreeMap;

use crate::ingress::shown;

/// What ingress-nginx's annotations begin with.
const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// What is done with an annotation.
enum Treatment {
    /// It is read below.
    Done,
    /// The object is refused, for that reason, unless the value is one of these, which say what is so anyway.
    Refused(&'static str, &'static [&'static str]),
    /// A warning names it, unless the value is one of these.
    Lost(&'static [&'static str]),
    /// It is about no request.
    Nothing,
}

use Treatment::{Done, Lost, Nothing, Refused};

const ACCESS: &str = "it turns requests away that would be answered here";
const PLAIN: &str = "an ingress speaks plain HTTP, and so it does with its backends";
const ELSEWHERE: &str = "requests would go elsewhere than it says";
const UNKNOWN: &str = "what it adds to nginx's configuration could be about access";

/// All annotations of ingress-nginx 1.15, with those that its documentation leaves out.
#[rustfmt::skip]
const KNOWN: &[(&str, Treatment)] = &[
    ("affinity", Lost(&[])),
    ("affinity-canary-behavior", Lost(&[])),
    ("affinity-mode", Lost(&[])),
    ("allowlist-source-range", Refused(ACCESS, &[])),
    ("app-root", Refused(ELSEWHERE, &[])),
    ("auth-always-set-cookie", Refused(ACCESS, &[])),
    ("auth-cache-duration", Refused(ACCESS, &[])),
    ("auth-cache-key", Refused(ACCESS, &[])),
    ("auth-keepalive", Refused(ACCESS, &[])),
    ("auth-keepalive-requests", Refused(ACCESS, &[])),
    ("auth-keepalive-share-vars", Refused(ACCESS, &[])),
    ("auth-keepalive-timeout", Refused(ACCESS, &[])),
    ("auth-method", Refused(ACCESS, &[])),
    ("auth-proxy-set-headers", Refused(ACCESS, &[])),
    ("auth-realm", Refused(ACCESS, &[])),
    ("auth-request-redirect", Refused(ACCESS, &[])),
    ("auth-response-headers", Refused(ACCESS, &[])),
    ("auth-secret", Refused(ACCESS, &[])),
    ("auth-secret-type", Refused(ACCESS, &[])),
    ("auth-signin", Refused(ACCESS, &[])),
    ("auth-signin-redirect-param", Refused(ACCESS, &[])),
    ("auth-snippet", Refused(ACCESS, &[])),
    ("auth-tls-error-page", Refused(ACCESS, &[])),
    ("auth-tls-match-cn", Refused(ACCESS, &[])),
    ("auth-tls-pass-certificate-to-upstream", Refused(ACCESS, &[])),
    ("auth-tls-secret", Refused(ACCESS, &[])),
    ("auth-tls-verify-client", Refused(ACCESS, &[])),
    ("auth-tls-verify-depth", Refused(ACCESS, &[])),
    ("auth-type", Refused(ACCESS, &[])),
    ("auth-url", Refused(ACCESS, &[])),
    ("backend-protocol", Refused(PLAIN, &["HTTP", "AUTO_HTTP"])),
    ("canary", Refused(ELSEWHERE, &["false"])),
    ("canary-by-cookie", Lost(&[])),
    ("canary-by-header", Lost(&[])),
    ("canary-by-header-pattern", Lost(&[])),
    ("canary-by-header-value", Lost(&[])),
    ("canary-weight", Lost(&[])),
    ("canary-weight-total", Lost(&[])),
    ("client-body-buffer-size", Lost(&[])),
    ("configuration-snippet", Refused(UNKNOWN, &[])),
    ("connection-proxy-header", Lost(&[])),
    ("cors-allow-credentials", Lost(&[])),
    ("cors-allow-headers", Lost(&[])),
    ("cors-allow-methods", Lost(&[])),
    ("cors-allow-origin", Lost(&[])),
    ("cors-expose-headers", Lost(&[])),
    ("cors-max-age", Lost(&[])),
    ("custom-headers", Lost(&[])),
    ("custom-http-errors", Lost(&[])),
    ("default-backend", Lost(&[])),
    ("denylist-source-range", Refused(ACCESS, &[])),
    ("disable-proxy-intercept-errors", Lost(&["false"])),
    ("enable-access-log", Lost(&["true"])),
    ("enable-cors", Lost(&["false"])),
    // What it switches on or off is a setting of the controller, which is made nowhere here.
    ("enable-global-auth", Lost(&["true", "false"])),
    ("enable-modsecurity", Refused(ACCESS, &["false"])),
    ("enable-opentelemetry", Lost(&["false"])),
    ("enable-owasp-core-rules", Refused(ACCESS, &["false"])),
    ("enable-rewrite-log", Lost(&["false"])),
    ("fastcgi-index", Lost(&[])),
    ("fastcgi-params-configmap", Lost(&[])),
    ("force-ssl-redirect", Refused(ACCESS, &["false"])),
    ("from-to-www-redirect", Refused(ELSEWHERE, &["false"])),
    ("http2-push-preload", Lost(&["false"])),
    ("limit-allowlist", Refused(ACCESS, &[])),
    ("limit-burst-multiplier", Refused(ACCESS, &[])),
    ("limit-connections", Refused(ACCESS, &[])),
    ("limit-rate", Lost(&[])),
    ("limit-rate-after", Lost(&[])),
    ("limit-rpm", Refused(ACCESS, &[])),
    ("limit-rps", Refused(ACCESS, &[])),
    ("limit-whitelist", Refused(ACCESS, &[])),
    ("load-balance", Lost(&[])),
    ("mirror-host", Lost(&[])),
    ("mirror-request-body", Lost(&[])),
    ("mirror-target", Lost(&[])),
    ("modsecurity-snippet", Refused(ACCESS, &[])),
    ("modsecurity-transaction-id", Refused(ACCESS, &[])),
    ("opentelemetry-operation-name", Lost(&[])),
    ("opentelemetry-trust-incoming-span", Lost(&[])),
    ("permanent-redirect", Refused(ELSEWHERE, &[])),
    ("permanent-redirect-code", Lost(&[])),
    // Of redirects to HTTPS, which are not done.
    ("preserve-trailing-slash", Lost(&["true", "false"])),
    ("proxy-body-size", Done),
    ("proxy-buffer-size", Lost(&[])),
    ("proxy-buffering", Lost(&["on"])),
    ("proxy-buffers-number", Lost(&[])),
    ("proxy-busy-buffers-size", Lost(&[])),
    ("proxy-connect-timeout", Done),
    ("proxy-cookie-domain", Lost(&["off"])),
    ("proxy-cookie-path", Lost(&["off"])),
    ("proxy-http-version", Lost(&["1.1"])),
    ("proxy-max-temp-file-size", Lost(&[])),
    ("proxy-next-upstream", Lost(&[])),
    ("proxy-next-upstream-timeout", Lost(&[])),
    ("proxy-next-upstream-tries", Lost(&[])),
    ("proxy-read-timeout", Done),
    ("proxy-redirect-from", Lost(&[])),
    ("proxy-redirect-to", Lost(&[])),
    ("proxy-request-buffering", Lost(&["on"])),
    ("proxy-send-timeout", Done),
    ("proxy-ssl-ciphers", Refused(PLAIN, &[])),
    ("proxy-ssl-name", Refused(PLAIN, &[])),
    ("proxy-ssl-protocols", Refused(PLAIN, &[])),
    ("proxy-ssl-secret", Refused(PLAIN, &[])),
    ("proxy-ssl-server-name", Refused(PLAIN, &[])),
    ("proxy-ssl-verify", Refused(PLAIN, &["off"])),
    ("proxy-ssl-verify-depth", Refused(PLAIN, &[])),
    ("relative-redirects", Lost(&["false"])),
    ("rewrite-target", Done),
    ("satisfy", Refused(ACCESS, &["all"])),
    ("server-alias", Refused(ELSEWHERE, &[])),
    ("server-snippet", Refused(UNKNOWN, &[])),
    // A service's virtual address is what is asked here.
    ("service-upstream", Lost(&["true"])),
    ("session-cookie-change-on-failure", Lost(&[])),
    ("session-cookie-conditional-samesite-none", Lost(&[])),
    ("session-cookie-domain", Lost(&[])),
    ("session-cookie-expires", Lost(&[])),
    ("session-cookie-max-age", Lost(&[])),
    ("session-cookie-name", Lost(&[])),
    ("session-cookie-path", Lost(&[])),
    ("session-cookie-samesite", Lost(&[])),
    ("session-cookie-secure", Lost(&[])),
    ("ssl-ciphers", Refused(PLAIN, &[])),
    ("ssl-passthrough", Refused(PLAIN, &["false"])),
    ("ssl-prefer-server-ciphers", Refused(PLAIN, &[])),
    // It is about hosts with TLS, and an object with `tls` is refused.
    ("ssl-redirect", Lost(&["true", "false"])),
    ("stream-snippet", Refused(UNKNOWN, &[])),
    ("temporal-redirect", Refused(ELSEWHERE, &[])),
    ("temporal-redirect-code", Lost(&[])),
    ("upstream-hash-by", Lost(&[])),
    ("upstream-hash-by-subset", Lost(&[])),
    ("upstream-hash-by-subset-size", Lost(&[])),
    ("upstream-vhost", Lost(&[])),
    // An ingress is seldom asked at port 80: without the port its redirects would lead elsewhere.
    ("use-port-in-redirects", Lost(&["true"])),
    ("use-regex", Done),
    ("whitelist-source-range", Refused(ACCESS, &[])),
    ("x-forwarded-prefix", Lost(&[])),
];

/// Domains of annotations that are about no request: of tools that deploy, of certificates, of names.
const UNRELATED_DOMAINS: &[&str] = &[
    "acme.cert-manager.io",
    "app.kubernetes.io",
    "argocd.argoproj.io",
    "cert-manager.io",
    "config.kubernetes.io",
    "external-dns.alpha.kubernetes.io",
    "field.cattle.io",
    "fluxcd.io",
    "helm.sh",
    "kubectl.kubernetes.io",
    "kustomize.toolkit.fluxcd.io",
    "link.argocd.argoproj.io",
    "meta.helm.sh",
    "reloader.stakater.com",
];

/// Annotations of others whose names alone don't say what they are about.
const OTHERS: &[(&str, Treatment)] = &[
    ("alb.ingress.kubernetes.io/scheme", Refused(ACCESS, &["internet-facing"])),
    // As `ingressClassName` says it today.
    ("kubernetes.io/ingress.class", Nothing),
    // Plain HTTP is what is answered.
    ("kubernetes.io/ingress.allow-http", Refused(ACCESS, &["true"])),
    // An older word for what cert-manager does.
    ("kubernetes.io/tls-acme", Nothing),
];

/// What other controllers' annotations about access have among the words of their names.
#[rustfmt::skip]
const ACCESS_WORDS: &[&str] = &[
    "acl", "allowlist", "auth", "authentication", "authn", "authorization", "authz", "blacklist", "blocklist", "cert",
    "certificate", "certs", "cidr", "cidrs", "deny", "denylist", "firewall", "https", "internal", "jwt", "limit", "limits",
    "ldap", "middleware", "middlewares", "modsecurity", "mtls", "oauth", "oauth2", "oidc", "owasp", "plugin", "plugins",
    "policies", "ratelimit", "rpm", "rps", "saml", "secret", "security", "shield", "snippet", "snippets", "ssl", "tls",
    "waf", "wafv2", "whitelist",
];

/// The same, of several words: alone, `allow` is one of CORS, too.
const ACCESS_PHRASES: &[&str] = &["allow-http", "allow-list", "allow-source", "allowed-ip", "source-range"];

/// With one of these in the name of an annotation about access, `false` switches on what is about access.
const NEGATIONS: &[&str] = &["bypass", "disable", "disabled", "exempt", "ignore", "no", "skip", "without"];

/// What annotations that lead requests elsewhere have among the words of their names.
const ELSEWHERE_WORDS: &[&str] =
    &["alias", "aliases", "canary", "conditions", "pathmatcher", "redirect", "redirects", "rewrite", "rewrites"];

/// The same, of several words.
const ELSEWHERE_PHRASES: &[&str] = &["app-root", "path-regex", "path-type", "strip-path"];

/// What annotations ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotations {
    /// `rewrite-target`.
    pub(super) target: Option<String>,
    use_regex: bool,
    pub(super) connect_timeout: Option<u32>,
    pub(super) timeout: Option<u32>,
    pub(super) max_body: Option<u64>,
}

impl Annotations {
    /// Reads them. Gives a warning that names those that are lost, too.
    pub(super) fn read(annotations: &BTreeMap<String, String>) -> Result<(Self, Option<String>), String> {
        let mut read = Annotations::default();
        let (mut refused, mut lost) = (Vec::new(), Vec::new());
        for (name, value) in annotations {
            match treatment(name) {
                Nothing => {}
                Done => read.take(name, value)?,
                Refused(_, harmless) | Lost(harmless) if harmless.iter().any(|other| says(value, other)) => {}
                Refused(why, _) => refused.push(format!("{}: {why}", shown(name))),
                Lost(_) => lost.push(shown(name)),
            }
        }
        if !refused.is_empty() {
            return Err(format!("what its annotations ask for can't be done: {}", refused.join("; ")));
        }
        let words = || format!("what its annotations ask for is not done: {}", lost.join(", "));
        Ok((read, (!lost.is_empty()).then(words)))
    }

    /// Whether paths are regular expressions.
    pub(super) fn regex(&self) -> bool {
        self.use_regex || self.target.is_some()
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |what: &str| format!("its annotation {name}: `{}` is {what}", shown(value));
        let seconds = || value.parse::<u32>().map_err(|_| wrong("no number of seconds"));
        match name.strip_prefix(NGINX) {
            // Left empty it is as if it were not there.
            Some("rewrite-target") => self.target = Some(value.to_owned()).filter(|target| !target.is_empty()),
            Some("use-regex") => self.use_regex = boolean(value).ok_or_else(|| wrong("neither `true` nor `false`"))?,
            Some("proxy-connect-timeout") => self.connect_timeout = Some(seconds()?),
            Some("proxy-read-timeout" | "proxy-send-timeout") => {
                let seconds = seconds()?;
                if self.timeout.replace(seconds).is_some_and(|other| other != seconds) {
                    return Err("its proxy-read-timeout and proxy-send-timeout differ: here they are one".to_owned());
                }
            }
            Some("proxy-body-size") => {
                let bytes = bytes(value).ok_or_else(|| wrong("no size, such as `8m`, `512k` or `0`"))?;
                self.max_body = Some(bytes);
            }
            _ => {}
        }
        Ok(())
    }
}

/// What becomes of an annotation of that name.
fn treatment(name: &str) -> &'static Treatment {
    let known = name.strip_prefix(NGINX).and_then(|name| KNOWN.iter().find(|(known, _)| *known == name));
    if let Some((_, fate)) = known {
        return fate;
    }
    // Names without a domain are their user's own.
    let Some((domain, rest)) = name.split_once('/') else { return &Nothing };
    if UNRELATED_DOMAINS.contains(&domain) {
        return &Nothing;
    }
    if let Some((_, treatment)) = OTHERS.iter().find(|(other, _)| *other == name) {
        return treatment;
    }
    let rest = rest.to_ascii_lowercase();
    let words: Vec<_> = rest.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let speaks_of = |one_of: &[&str], phrases: &[&str]| {
        words.iter().any(|word| one_of.contains(word)) || phrases.iter().any(|phrase| rest.contains(phrase))
    };
    if speaks_of(ACCESS_WORDS, ACCESS_PHRASES) {
        return if speaks_of(NEGATIONS, &[]) { &Refused(ACCESS, &[]) } else { &Refused(ACCESS, &["false", "off"]) };
    }
    if speaks_of(ELSEWHERE_WORDS, ELSEWHERE_PHRASES) { &Refused(ELSEWHERE, &["false", "off"]) } else { &Lost(&[]) }
}

/// Whether a value says the same as another one.
fn says(value: &str, other: &str) -> bool {
    let value = value.trim();
    value.eq_ignore_ascii_case(other) || boolean(value).is_some_and(|value| boolean(other) == Some(value))
}

/// A boolean as Go reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A size as nginx writes it: with `k`, `m` or `g` for powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
pub(super) fn known() -> impl Iterator<Item = String> {
    KNOWN.iter().map(|(name, _)| format!("{NGINX}{name}"))
}
