//! Network configurations: lists of plugins, as administrators write them and as plugins get them.
//!
//! Invariant: a field that is not known here is passed to the plugin as it was written.
//!
//! A plugin's configuration is read as Go reads it ([`go_json`]). A list's own keys are not: the reference
//! library (`libcni/conf.go`) looks them up as they are written.

use std::net::IpAddr;

use knetsim_model::go_json;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::attachment::{Attachment, is_plain_name};
use crate::error::Error;
use crate::files::Files;
use crate::result::AddResult;
use crate::version::Version;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// A network: its name, its version, and the plugins that make it, in the order of ADD.
#[derive(Clone, Debug)]
pub struct NetworkList {
    /// Its name: a letter or digit, then letters, digits, `_`, `.` and `-`.
    pub name: String,
    /// The version spoken: the newest known here of those that it names.
    pub version: Version,
    pub(crate) disable_check: bool,
    pub(crate) disable_gc: bool,
    pub(crate) plugins: Vec<Object>,
    /// As it was written: kept with each attachment.
    pub(crate) bytes: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawList {
    #[serde(default)]
    name: String,
    #[serde(default)]
    cni_version: String,
    #[serde(default)]
    cni_versions: Vec<String>,
    #[serde(default)]
    disable_check: Flag,
    #[serde(default, rename = "disableGC")]
    disable_gc: Flag,
    #[serde(default)]
    load_only_inlined_plugins: Flag,
    #[serde(default)]
    plugins: Option<Vec<Object>>,
}

/// `true` or `"true"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Text(String),
}

impl Default for Flag {
    fn default() -> Self {
        Flag::Bool(false)
    }
}

impl Flag {
    fn value(self) -> Result<bool, Error> {
        match self {
            Flag::Bool(value) => Ok(value),
            Flag::Text(text) => {
                text.to_lowercase().parse().map_err(|_| Error::Config(format!("`{text}` is neither true nor false")))
            }
        }
    }
}

impl NetworkList {
    /// Reads a configuration list, or a single plugin's configuration, which becomes a list of one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let json: Object = serde_json::from_slice(bytes).map_err(Error::decode("the network configuration"))?;
        if json.contains_key("plugins") || go_json::field(&json, "type").is_none() {
            let (list, _) = NetworkList::from_list(json, bytes.to_vec())?;
            return list.with_plugins(Vec::new());
        }
        let field = |name| go_json::field(&json, name);
        let list = without_nulls(json!({"name": field("name"), "cniVersion": field("cniVersion"), "plugins": [json]}));
        let bytes = Value::Object(list.clone()).to_string().into_bytes();
        NetworkList::from_list(list, bytes)?.0.with_plugins(Vec::new())
    }

    /// The list, and whether plugins may be added to it from a folder of its name.
    fn from_list(json: Object, bytes: Vec<u8>) -> Result<(Self, bool), Error> {
        let json = without_nulls(Value::Object(json));
        warn_of_other_case(&json);
        let raw: RawList =
            serde_json::from_value(Value::Object(json)).map_err(Error::decode("the network configuration list"))?;
        if !is_plain_name(&raw.name) {
            return Err(Error::Config(format!(
                "the network's name {:?} is not a letter or digit followed by letters, digits, `_`, `.` and `-`",
                raw.name
            )));
        }
        // Of several versions the newest that is known; one alone must be known.
        let known = raw.cni_versions.iter().filter_map(|text| text.parse().ok());
        let version = match known.max() {
            Some(best) => raw.cni_version.parse().map_or(best, |version: Version| version.max(best)),
            None => raw.cni_version.parse()?,
        };
        let list = NetworkList {
            name: raw.name,
            version,
            disable_check: raw.disable_check.value()?,
            disable_gc: raw.disable_gc.value()?,
            plugins: raw.plugins.unwrap_or_default(),
            bytes,
        };
        Ok((list, !raw.load_only_inlined_plugins.value()?))
    }

    fn with_plugins(mut self, more: Vec<Object>) -> Result<Self, Error> {
        self.plugins.extend(more);
        if self.plugins.is_empty() {
            return Err(Error::Config(format!("network {}: no plugins in its configuration", self.name)));
        }
        match self.plugins.iter().find(|plugin| kind(plugin).is_empty()) {
            Some(_) => Err(Error::Config(format!("network {}: a plugin without `type`", self.name))),
            None => Ok(self),
        }
    }

    /// The network of that name from a folder: the first `.conflist` that has it, by file name, else
    /// the first `.conf` or `.json`; with the plugins in the folder's own folder of that name.
    ///
    /// A file that can't be read may be the one that is meant, so it is an error, as in the reference library;
    /// except where `past_broken`, for DEL, which must not depend on what it does not need.
    pub(crate) fn load(files: &Files, folder: &str, name: &str, past_broken: bool) -> Result<Self, Error> {
        let names = files.list(folder)?;
        let ending = |endings: &'static [&str]| {
            let ends = move |file: &&String| endings.iter().any(|ending| file.ends_with(ending));
            names.iter().filter(ends).map(|file| format!("{folder}/{file}"))
        };
        let lists = ending(&[".conflist"]).map(|file| read_list(files, &file));
        let single = ending(&[".conf", ".json"]).map(|file| read_single(files, &file));
        let mut broken = None;
        for read in lists.chain(single) {
            match read {
                Ok((list, open)) if list.name == name => {
                    let more = if open { load_plugins(files, &format!("{folder}/{name}"))? } else { Vec::new() };
                    return list.with_plugins(more);
                }
                Ok(_) => {}
                Err(error) if past_broken => {
                    tracing::warn!("passed over: {error}");
                    broken = broken.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        let absent = || Error::Config(format!("no network configuration with the name `{name}` in {folder}"));
        Err(broken.unwrap_or_else(absent))
    }

    /// What a plugin of this list gets on standard input ("Deriving request configuration").
    pub(crate) fn request(
        &self,
        plugin: &Object,
        attachment: Option<&Attachment>,
        previous: Option<&AddResult>,
    ) -> Object {
        let mut request = plugin.clone();
        let declared = go_json::field(&request, "capabilities").cloned();
        request.retain(|key, _| !go_json::is_key_of(key, "capabilities"));
        request.insert("name".into(), json!(self.name));
        request.insert("cniVersion".into(), json!(self.version.as_str()));
        if let (Some(attachment), Some(Value::Object(declared))) = (attachment, declared) {
            let wanted = |(key, _): &(&String, &Value)| declared.get(*key) == Some(&Value::Bool(true));
            let given = attachment.capabilities.iter().filter(wanted);
            let given: Object = given.map(|(key, value)| (key.clone(), value.clone())).collect();
            if !given.is_empty() {
                request.insert("runtimeConfig".into(), Value::Object(given));
            }
        }
        if let Some(previous) = previous {
            request.insert("prevResult".into(), previous.to_json(self.version));
        }
        request
    }
}

/// The plugin's type; empty where it has none.
pub(crate) fn kind(plugin: &Object) -> &str {
    text(plugin, "type").unwrap_or_default()
}

/// The version that a plugin's configuration speaks.
pub(crate) fn version(config: &Object) -> Result<Version, Error> {
    text_of(config, "cniVersion")?.unwrap_or_default().parse()
}

/// A plugin's typed view of its configuration.
pub(crate) fn typed<'de, T: Deserialize<'de>>(config: &'de Object) -> Result<T, Error> {
    go_json::from_object(config).map_err(Error::decode("the plugin's configuration"))
}

/// A field of a plugin's configuration where it is a text. For DEL, which takes what it can: a typed view of all
/// would fail by a field that DEL does not need.
pub(crate) fn text<'a>(config: &'a Object, name: &str) -> Option<&'a str> {
    go_json::field(config, name).and_then(Value::as_str)
}

/// A field of a plugin's configuration that is a text where it is there.
pub(crate) fn text_of<'a>(config: &'a Object, name: &str) -> Result<Option<&'a str>, Error> {
    match go_json::field(config, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Error::Config(format!("{name} {other} is not a text"))),
    }
}

/// A field of a plugin's configuration where it is an object.
pub(crate) fn object<'a>(config: &'a Object, name: &str) -> Option<&'a Object> {
    go_json::field(config, name).and_then(Value::as_object)
}

/// For fields of Go's type `net.IP`: an empty text is no address, and an IPv4 address may be written as one of IPv6.
pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => {
            text.parse().map(|address: IpAddr| Some(address.to_canonical())).map_err(serde::de::Error::custom)
        }
    }
}

/// The result that came before this plugin, where there was one.
pub(crate) fn previous(config: &Object) -> Result<Option<AddResult>, Error> {
    let previous = go_json::field(config, "prevResult");
    previous.map(|json| AddResult::from_json(json, version(config)?)).transpose()
}

/// A list, and whether plugins may be added to it.
fn read_list(files: &Files, file: &str) -> Result<(NetworkList, bool), Error> {
    let bytes = files.read(file)?.unwrap_or_default();
    let json = serde_json::from_slice(&bytes).map_err(Error::decode(file))?;
    NetworkList::from_list(json, bytes).map_err(|error| error.of(file))
}

fn read_single(files: &Files, file: &str) -> Result<(NetworkList, bool), Error> {
    let bytes = files.read(file)?.unwrap_or_default();
    NetworkList::parse(&bytes).map(|list| (list, false)).map_err(|error| error.of(file))
}

/// Names keys that would be a list's if lists were read as plugins' configurations are.
fn warn_of_other_case(list: &Object) {
    const KEYS: [&str; 7] =
        ["name", "cniVersion", "cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "plugins"];
    for key in list.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        if let Some(meant) = KEYS.iter().find(|name| go_json::is_key_of(key, name)) {
            tracing::warn!("`{key}` of a network configuration list is passed over: write `{meant}`");
        }
    }
}

fn load_plugins(files: &Files, folder: &str) -> Result<Vec<Object>, Error> {
    let names = files.list(folder)?.into_iter().filter(|name| name.ends_with(".conf"));
    let load = |name: String| {
        let path = format!("{folder}/{name}");
        serde_json::from_slice(&files.read(&path)?.unwrap_or_default()).map_err(Error::decode(path))
    };
    names.map(load).collect()
}

fn without_nulls(value: Value) -> Object {
    let Value::Object(object) = value else { return Object::new() };
    object.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use proptest::prelude::*;

    use super::*;

    fn parse(json: Value) -> Result<NetworkList, Error> {
        NetworkList::parse(json.to_string().as_bytes())
    }

    #[test]
    fn the_newest_known_version_is_spoken() {
        for (version, versions, chosen) in [
            ("", json!([]), Some("0.1.0")),
            ("0.4.0", json!([]), Some("0.4.0")),
            ("0.4.0", json!(["0.3.1", "1.0.0", "9.0.0"]), Some("1.0.0")),
            ("1.1.0", json!(["1.0.0"]), Some("1.1.0")),
            ("2.0.0", json!([]), None),
        ] {
            let list = json!({"name": "n", "cniVersion": version, "cniVersions": versions, "plugins": [{"type": "x"}]});
            assert_eq!(parse(list).ok().map(|list| list.version.as_str()), chosen, "{version} {versions}");
        }
    }

    #[test]
    fn single_configurations_are_read_as_go_does_and_lists_by_the_very_names() {
        let single =
            parse(json!({"Name": "n", "CNIVersion": "1.0.0", "TYPE": "x", "Capabilities": {"mac": true}})).unwrap();
        assert_eq!((single.name.as_str(), single.version, kind(&single.plugins[0])), ("n", Version::V1_0_0, "x"));
        let mut attachment = Attachment::new("c1", None, "");
        attachment.capabilities.insert("mac".into(), json!("m"));
        let request = single.request(&single.plugins[0], Some(&attachment), None);
        assert_eq!((request.get("Capabilities"), &request["runtimeConfig"]), (None, &json!({"mac": "m"})));

        let list = json!({"name": "n", "CNIVersion": "1.0.0", "disableGC": null, "cniVersions": null, "plugins": [{"Type": "x"}]});
        assert_eq!(parse(list).unwrap().version, Version::V0_1_0);
        assert_eq!(parse(json!({"name": "n", "Plugins": [{"type": "x"}]})).unwrap_err().code(), 7);
    }

    #[test]
    fn lists_that_make_no_sense_are_refused() {
        for list in [
            json!({"name": "n"}),
            json!({"name": "n", "plugins": []}),
            json!({"name": "n", "plugins": [{}]}),
            json!({"name": "../n", "plugins": [{"type": "x"}]}),
            json!({"plugins": [{"type": "x"}]}),
            json!({"type": "x"}),
            json!({"name": "n", "plugins": [{"type": "x"}], "disableGC": "perhaps"}),
        ] {
            assert_eq!(parse(list.clone()).unwrap_err().code(), 7, "{list}");
        }
    }

    #[test]
    fn a_request_is_the_plugin_s_configuration_with_what_the_runtime_adds() {
        let plugin = json!({"type": "x", "keyA": ["passed", {"on": 1}], "capabilities": {"mac": true, "ips": false}});
        let list = parse(json!({"cniVersion": "1.1.0", "name": "n", "plugins": [plugin]})).unwrap();
        let mut attachment = Attachment::new("c1", None, "");
        attachment.capabilities = Object::from_iter(["mac", "ips", "other"].map(|key| (key.to_owned(), json!(key))));
        let request = list.request(&list.plugins[0], Some(&attachment), Some(&AddResult::default()));
        let expected = json!({"type": "x", "keyA": ["passed", {"on": 1}], "name": "n", "cniVersion": "1.1.0",
            "runtimeConfig": {"mac": "mac"}, "prevResult": {"cniVersion": "1.1.0"}});
        assert_eq!(Value::Object(request), expected);
    }

    #[test]
    fn lists_come_before_single_configurations_and_are_added_to_from_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, json: Value| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, json.to_string()).unwrap();
        };
        write("10-a.conf", json!({"name": "a", "type": "single"}));
        write("20-a.conflist", json!({"name": "a", "plugins": [{"type": "first"}]}));
        write("30-a.conflist", json!({"name": "a", "plugins": [{"type": "late"}]}));
        write("40-b.json", json!({"name": "b", "cniVersion": "0.4.0", "type": "json"}));
        write("50-c.conflist", json!({"name": "c", "loadOnlyInlinedPlugins": true, "plugins": [{"type": "inline"}]}));
        write("a/2.conf", json!({"type": "third"}));
        write("a/1.conf", json!({"type": "second"}));
        write("c/1.conf", json!({"type": "ignored"}));
        let files = Files::new(Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap());
        let load = |name: &str, past_broken| NetworkList::load(&files, ".", name, past_broken);
        let kinds = |name: &str| {
            let list = load(name, false).unwrap();
            list.plugins.iter().map(|plugin| kind(plugin).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kinds("a"), ["first", "second", "third"]);
        assert_eq!(kinds("b"), ["json"]);
        assert_eq!(kinds("c"), ["inline"]);
        assert_eq!(load("b", false).unwrap().version, Version::V0_4_0);
        assert_eq!(load("d", false).unwrap_err().code(), 7);

        // What is broken may be what is meant, except for DEL.
        std::fs::write(folder.path().join("00-broken.conflist"), "{").unwrap();
        write("01-broken.conf", json!({"name": "../x", "type": "x"}));
        assert!(load("a", false).unwrap_err().to_string().contains("00-broken.conflist"));
        assert_eq!(load("a", true).unwrap().plugins.len(), 3);
        assert_eq!(load("b", true).unwrap().plugins.len(), 1);
        assert!(load("d", true).unwrap_err().to_string().contains("00-broken.conflist"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"a-z0-9. ]{0,48}") {
            let _ = NetworkList::parse(text.as_bytes());
            let _ = NetworkList::parse(format!("{{\"name\":\"n\",\"plugins\":[{text}]}}").as_bytes());
        }
    }
}
