//! One container's place on one network: what a runtime tells every plugin beside the configuration.

use knetsim_kernel::NetNs;

use crate::config::Object;
use crate::error::Error;

/// The parameters of ADD, DEL and CHECK. Container id and interface name together identify it.
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    /// The container's id: a letter or digit, then letters, digits, `_`, `.` and `-`.
    pub container_id: String,
    /// The container's network namespace. On DEL none means that it is gone or about to go as a whole:
    /// then its devices are left to the kernel, which ends them together at a hundredth of the price.
    pub netns: Option<NetNs>,
    /// The path of that namespace, as results and files show it: `/var/run/netns/c1`.
    pub netns_path: String,
    /// The interface to make inside, at most 15 bytes.
    pub ifname: String,
    /// CNI_ARGS: `IP` and `MAC` ask for an address.
    pub args: Vec<(String, String)>,
    /// Arguments by capability: each plugin gets those that its configuration declares, as `runtimeConfig`.
    pub capabilities: Object,
}

impl Attachment {
    /// A container with that id and namespace, its interface being `eth0`.
    pub fn new(container_id: &str, netns: Option<NetNs>, netns_path: &str) -> Self {
        Attachment {
            container_id: container_id.to_owned(),
            netns,
            netns_path: netns_path.to_owned(),
            ifname: "eth0".to_owned(),
            ..Attachment::default()
        }
    }

    /// The namespace, for operations that can't do without.
    pub(crate) fn namespace(&self) -> Result<&NetNs, Error> {
        self.netns
            .as_ref()
            .ok_or_else(|| Error::UnknownContainer(format!("container {} has no network namespace", self.container_id)))
    }

    /// Refuses names that files and devices can't bear.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if !is_plain_name(&self.container_id) {
            return Err(Error::Parameter(format!(
                "CNI_CONTAINERID {:?} is not a letter or digit followed by letters, digits, `_`, `.` and `-`",
                self.container_id
            )));
        }
        let name = &self.ifname;
        let bad = name.is_empty()
            || name.len() > 15
            || name == "."
            || name == ".."
            || name.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if bad {
            return Err(Error::Parameter(format!(
                "CNI_IFNAME {name:?} is not an interface's name: 1 to 15 bytes without `/`, `:` and blanks"
            )));
        }
        Ok(())
    }

    /// CNI_ARGS as a plugin's environment has them: `IP=10.1.0.5;IgnoreUnknown=1`.
    pub(crate) fn args_text(&self) -> String {
        self.args.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";")
    }

    /// Refuses keys of CNI_ARGS other than these, unless `IgnoreUnknown` says that they may be there. Each plugin gets
    /// all of CNI_ARGS, and knows its own (containernetworking/cni `pkg/types/args.go`).
    pub(crate) fn refuse_unknown_args(&self, known: &[&str]) -> Result<(), Error> {
        const IGNORE: &str = "IgnoreUnknown";
        let ignore = self.args.iter().rfind(|(key, _)| key == IGNORE).map_or("0", |(_, value)| value);
        match ignore.to_ascii_lowercase().as_str() {
            "1" | "true" => return Ok(()),
            "0" | "false" => {}
            _ => return Err(Error::Parameter(format!("CNI_ARGS: {IGNORE} {ignore:?} is not 1, true, 0 or false"))),
        }
        let unknown = self.args.iter().map(|(key, _)| key.as_str()).find(|key| *key != IGNORE && !known.contains(key));
        match unknown {
            Some(key) => Err(Error::Parameter(format!(
                "CNI_ARGS: {key} is not one of {}; with {IGNORE}=1 it has no effect",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// The value of a key of CNI_ARGS, the last of several; none where it is empty.
    pub(crate) fn arg(&self, key: &str) -> Option<&str> {
        let mut values = self.args.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str());
        values.next_back().filter(|value| !value.is_empty())
    }
}

/// Whether a text can be a container's id or a network's name: both become parts of paths.
pub(crate) fn is_plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// Reads CNI_ARGS: pairs `KEY=VALUE`, separated by `;`. A value may be empty, as kubelets leave `K8S_POD_UID`.
pub(crate) fn parse_args(text: &str) -> Result<Vec<(String, String)>, Error> {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.contains('=') => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Error::Parameter(format!("CNI_ARGS: `{pair}` is not KEY=VALUE"))),
    };
    text.split(';').filter(|_| !text.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_args_are_refused_unless_they_may_be_there() {
        let refused = |text: &str| {
            let attachment = Attachment { args: parse_args(text).unwrap(), ..Attachment::default() };
            attachment.refuse_unknown_args(&["IP"]).err().map(|error| error.to_string())
        };
        for text in ["", "IP=10.1.0.5", "A=1;IgnoreUnknown=1", "IgnoreUnknown=True;A=", "IgnoreUnknown=0;IP="] {
            assert_eq!(refused(text), None, "{text}");
        }
        let unknown = "CNI_ARGS: A is not one of IP; with IgnoreUnknown=1 it has no effect";
        for text in ["A=1", "IP=;A=", "A=1;IgnoreUnknown=FALSE", "IgnoreUnknown=1;A=1;IgnoreUnknown=0"] {
            assert!(refused(text).unwrap().contains(unknown), "{text}: {:?}", refused(text));
        }
        assert!(refused("ignoreunknown=1").unwrap().contains("ignoreunknown is not one of IP"));
        assert!(refused("IgnoreUnknown=yes").unwrap().contains("\"yes\" is not 1, true, 0 or false"));
    }

    #[test]
    fn names_that_paths_or_devices_cannot_bear_are_refused() {
        let with = |id: &str, ifname: &str| Attachment { ifname: ifname.to_owned(), ..Attachment::new(id, None, "") };
        for id in ["", ".", "..", "../x", "a/b", "-a", "a b", "a\0b"] {
            assert_eq!(with(id, "eth0").validate().unwrap_err().code(), 4, "{id:?}");
        }
        for ifname in ["", ".", "..", "a/b", "a:b", "a b", "sixteenletterss_", "a\n"] {
            assert_eq!(with("c1", ifname).validate().unwrap_err().code(), 4, "{ifname:?}");
        }
        with("cnitool-0a.b_c", "eth0").validate().unwrap();
        with(&"a".repeat(201), "eth0").validate().unwrap();
    }

    proptest! {
        #[test]
        fn args_that_parse_print_the_same(text in "[A-Za-z0-9=;.]{0,24}") {
            if let Ok(args) = parse_args(&text) {
                let attachment = Attachment { args, ..Attachment::default() };
                prop_assert_eq!(attachment.args_text(), text);
            }
        }
    }
}
