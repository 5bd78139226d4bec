//! Where one spec is run: a node's and a container's network namespace, and a folder.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use knetsim_kernel::NetNs;
use knetsim_testing::run as succeed;
use serde_json::{Map, Value, json};

use crate::case::{Spec, Step, filled};
use crate::common::{execute, inside, namespace, path_of, write};
use crate::matches::Met;

pub(crate) struct Place<'a> {
    plugins: &'a Path,
    node: String,
    container: String,
    _folder: tempfile::TempDir,
    /// What stands in the data for this place: `{netns}`, `{dir}`.
    names: Map<String, Value>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(number: usize, plugins: &'a Path) -> Self {
        let (node, container) = (format!("n{number}"), format!("c{number}"));
        let folder = tempfile::tempdir().unwrap();
        [&node, &container].into_iter().for_each(|name| drop(namespace(name)));
        let names = json!({
            "netns": path_of(&container), "node": path_of(&node), "dir": folder.path(), "number": number.to_string(),
            "plugins": plugins
        });
        Place { plugins, node, container, _folder: folder, names: names.as_object().unwrap().clone() }
    }

    /// Does the steps of a spec; tells the first that does not go as expected.
    pub(crate) fn run(&self, spec: &Spec) -> Result<(), String> {
        let mut run = Run { place: self, spec, met: Met::default(), added: Value::Null };
        spec.steps.iter().enumerate().try_for_each(|(number, step)| {
            run.step(step).map_err(|why| format!("step {number} {}: {why}", step.call.as_deref().unwrap_or_default()))
        })
    }

    fn fill(&self, value: &Value) -> Value {
        filled(value, &self.names)
    }

    fn fill_text(&self, text: &str) -> String {
        self.fill(&json!(text)).as_str().unwrap_or_default().to_owned()
    }

    fn namespace_of(&self, place: &str) -> &str {
        if place == "container" { &self.container } else { &self.node }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        [&self.node, &self.container].into_iter().for_each(|name| drop(succeed(&["ip", "netns", "delete", name])));
    }
}

struct Run<'a> {
    place: &'a Place<'a>,
    spec: &'a Spec,
    met: Met,
    /// The last result.
    added: Value,
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        for (path, content) in &step.write {
            let path = PathBuf::from(self.place.fill_text(path));
            write(&path, &self.place.fill_text(content.as_str().unwrap()));
        }
        if let Some(command) = &step.run {
            let command: Vec<String> = command.iter().map(|word| self.place.fill_text(word)).collect();
            inside(self.place.namespace_of(&step.place), &command.iter().map(String::as_str).collect::<Vec<_>>());
        }
        if let Some(command) = &step.call {
            self.call(command, step)?;
        }
        for (what, expected) in step.find.iter().flatten() {
            self.find(what, &self.place.fill(expected))?;
        }
        Ok(())
    }

    /// Looks once: when our plugin has answered, the kernel has acted. After a real plugin it may take a moment.
    fn find(&mut self, what: &str, expected: &Value) -> Result<(), String> {
        let until = Instant::now() + if self.is_real() { Duration::from_secs(5) } else { Duration::ZERO };
        loop {
            let found = match what {
                "files" => files(expected),
                place => state(self.place.namespace_of(place), expected),
            };
            let mut met = self.met.clone();
            match met.check(what, expected, &found) {
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
                checked => {
                    self.met = met;
                    return checked;
                }
            }
        }
    }

    fn is_real(&self) -> bool {
        self.place.plugins == Path::new(crate::REAL)
    }

    fn call(&mut self, command: &str, step: &Step) -> Result<(), String> {
        let output = self.execute(command, step);
        let answer = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        let words = format!("{} {answer} {}", output.status, String::from_utf8_lossy(&output.stderr));
        match &step.error {
            Some(_) if output.status.success() => return Err(format!("it succeeds: {words}")),
            // Codes and messages are each plugin's own; most codes of the real ones are 999.
            Some(expected) if !self.is_real() => {
                let message = answer["msg"].as_str().unwrap_or_default();
                if answer["code"] != expected.code || !message.contains(&expected.word) {
                    return Err(format!("not error {} with `{}`: {words}", expected.code, expected.word));
                }
            }
            Some(_) => {}
            None if !output.status.success() => return Err(words),
            None => {}
        }
        if let Some(expected) = &step.result {
            self.met.check("result", &self.place.fill(expected), &answer)?;
        }
        if command == "ADD" && output.status.success() {
            if !self.spec.version.is_empty() && answer["cniVersion"] != self.spec.version {
                return Err(format!("a result of another version: {words}"));
            }
            self.added = answer;
        }
        Ok(())
    }

    fn execute(&self, command: &str, step: &Step) -> Output {
        let mut config = self.spec.config.clone();
        config.extend(step.with.clone());
        config.retain(|key, value| !(value.is_null() && step.with.contains_key(key) && key != "prevResult"));
        if let Some(without) = &step.previous_without {
            let mut previous = self.added.clone();
            previous.as_object_mut().unwrap().retain(|key, _| !without.contains(key));
            config.insert("prevResult".into(), previous);
        }
        let input = step.input.clone().unwrap_or_else(|| Value::Object(config).to_string());
        let mut environment = json!({"CNI_COMMAND": command, "CNI_CONTAINERID": "dummy", "CNI_NETNS": "{netns}",
            "CNI_IFNAME": "eth0", "CNI_PATH": self.place.plugins});
        environment.as_object_mut().unwrap().extend(step.environment.clone());
        let environment = self.place.fill(&environment);
        let environment: Vec<(&str, &str)> = environment
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
            .collect();
        let plugin = step.plugin.as_ref().unwrap_or(&self.spec.plugin);
        execute(&self.place.node, &self.place.plugins.join(plugin), &environment, &self.place.fill_input(&input))
    }
}

impl Place<'_> {
    /// Names in a configuration's text. A text of JSON has braces of its own, so no name stands alone in it.
    fn fill_input(&self, input: &str) -> String {
        let values = self.names.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
        values.fold(input.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
    }
}

/// What a namespace has of what is asked for: `links`, `count` of links, `addresses`, `link_local`, `routes`,
/// `sysctls`, `masquerade`.
fn state(namespace: &str, asked: &Value) -> Value {
    let ip = |arguments: &[&str]| -> Vec<Value> {
        let text = succeed(&[&["ip", "-n", namespace, "-d", "-j"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_default()
    };
    let mut found = Map::new();
    let links: Vec<Value> = ip(&["address"]).into_iter().filter(|link| link.get("ifname").is_some()).collect();
    found.insert("count".into(), json!(links.len()));
    let mut of_links = |what: &str, value: &dyn Fn(&Value) -> Value| {
        let values = links.iter().map(|link| (link["ifname"].as_str().unwrap().to_owned(), value(link)));
        found.insert(what.to_owned(), Value::Object(values.collect()));
    };
    let addresses = |link: &Value, link_local: bool| {
        let infos = link["addr_info"].as_array().cloned().unwrap_or_default();
        let texts =
            infos.iter().map(|info| format!("{}/{}", info["local"].as_str().unwrap_or_default(), info["prefixlen"]));
        texts.filter(|text| text.starts_with("fe80:") == link_local).collect::<BTreeSet<String>>()
    };
    of_links("links", &Value::clone);
    of_links("addresses", &|link| json!(addresses(link, false)));
    of_links("link_local", &|link| json!(addresses(link, true).len()));
    if asked.get("routes").is_some() {
        let routes = [ip(&["route"]), ip(&["-6", "route"])].concat();
        let text = |route: &Value| {
            let gateway = route["gateway"].as_str().map(|gateway| format!(" via {gateway}")).unwrap_or_default();
            format!("{}{gateway}", route["dst"].as_str().unwrap_or_default())
        };
        let routes: BTreeSet<String> = routes.iter().map(text).filter(|route| !route.starts_with("fe80:")).collect();
        found.insert("routes".into(), json!(routes));
    }
    if let Some(Value::Object(keys)) = asked.get("sysctls") {
        let read = |key: &String| fs::read_to_string(format!("/proc/sys/{key}")).unwrap_or_default().trim().to_owned();
        let netns = NetNs::open(&path_of(namespace)).unwrap();
        let values =
            netns.run(|| keys.keys().map(|key| (key.clone(), json!(read(key)))).collect::<Map<_, _>>()).unwrap();
        found.insert("sysctls".into(), Value::Object(values));
    }
    if asked.get("masquerade").is_some() {
        found.insert("masquerade".into(), json!(masqueraded(namespace)));
    }
    Value::Object(found)
}

/// The sources that the plugins' rules masquerade, with the rules' comments.
fn masqueraded(namespace: &str) -> Vec<String> {
    let rules: Value = serde_json::from_str(&inside(namespace, &["nft", "-j", "list", "ruleset"])).unwrap();
    let rules = rules["nftables"].as_array().into_iter().flatten().map(|object| &object["rule"]);
    let own = rules.filter(|rule| rule["table"] == "cni_plugins_masquerade" && rule["chain"] == "masq_checks");
    let text = |rule: &Value| {
        let source = rule["expr"][0]["match"]["right"].as_str().unwrap_or_default();
        format!("{source} {}", rule["comment"].as_str().unwrap_or_default())
    };
    own.map(text).collect()
}

/// The contents of the files that are asked for, as JSON where they are asked for as JSON; of a folder the names
/// of the addresses in it.
fn files(asked: &Value) -> Value {
    let read = |(path, expected): (&String, &Value)| {
        let content = match fs::read_to_string(path) {
            Ok(text) if expected.is_object() => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            Ok(text) => Value::String(text),
            Err(_) if Path::new(path).is_dir() => json!(addresses_in(Path::new(path))),
            Err(_) => Value::Null,
        };
        (path.clone(), content)
    };
    Value::Object(asked.as_object().unwrap().iter().map(read).collect())
}

fn addresses_in(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.parse::<IpAddr>().is_ok()).collect()
}
