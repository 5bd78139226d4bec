//! Topology files and their like: read, with errors by line and column, and written.

mod nulls;

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use knetsim_emulator::plan::{Planner, View};
use knetsim_model::topology::Topology;
use knetsim_model::underlay::Underlay;
use knetsim_model::{Failure, Operation, Owner};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{RenderOptions, UserMessageFormatter};

use nulls::NoNulls;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 2 << 20;

/// Reads a topology file and sees that what it says can be made; `-` is standard input. `underlay` takes the
/// place of the file's.
///
/// # Errors
/// [`Failure::invalid`] with the place and what was expected there.
pub(crate) fn read(path: &Path, underlay: Option<Underlay>) -> anyhow::Result<Topology> {
    Ok(plan(Document::read(path)?, underlay)?.0)
}

/// The topology of a document, seen that what it says can be made; and what a person should know of it. `underlay`
/// takes the place of the document's.
pub(crate) fn plan(document: Document, underlay: Option<Underlay>) -> anyhow::Result<(Topology, Vec<String>)> {
    const HINT: &str = "`knetsim schema` prints what a topology file may hold; `{}` stands for nothing at all";
    document.refuse_nulls(HINT)?;
    let mut topology: Topology = document.parse(HINT)?;
    topology.underlay = underlay.or(topology.underlay);
    let apply = Operation::Apply { topology: topology.clone() };
    let plan = Planner::plan(View::default(), &apply, Owner::File)
        .map_err(|failure| Failure::invalid(format!("{}: {}", document.name, failure.message)))?;
    Ok((topology, plan.notes))
}

/// Reads a YAML (or JSON) file into its type; `hint` says what to do about an error.
pub(crate) fn read_yaml<T: DeserializeOwned>(path: &Path, hint: &str) -> anyhow::Result<T> {
    Document::read(path)?.parse(hint)
}

/// A YAML or JSON file's text.
pub(crate) struct Document {
    /// What the file is called in messages.
    pub(crate) name: String,
    text: Vec<u8>,
}

impl Document {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Document> {
        let name = name_of(path);
        let text = read_text(path).with_context(|| format!("reading {name}"))?;
        Ok(Document { name, text })
    }

    /// What it says. One that says nothing is an error, whatever the type would make of it: what should have written it
    /// may have failed.
    pub(crate) fn parse<T: DeserializeOwned>(&self, hint: &str) -> anyhow::Result<T> {
        if self.value() == Some(Value::Null) {
            return Err(Failure::invalid(format!("{}: it is empty\n{hint}", self.name)).into());
        }
        self.parsed(hint)
    }

    /// Refuses a word with nothing behind it, wherever it stands: it may be what is left of a list, and not mean that
    /// all of it goes.
    fn refuse_nulls(&self, hint: &str) -> anyhow::Result<()> {
        // An empty file has words of its own.
        if self.value() == Some(Value::Null) { Ok(()) } else { self.parsed::<NoNulls>(hint).map(drop) }
    }

    fn parsed<T: DeserializeOwned>(&self, hint: &str) -> anyhow::Result<T> {
        let wrong = |why: String| Failure::invalid(format!("{why}\n{hint}"));
        let text =
            std::str::from_utf8(&self.text).map_err(|_| wrong(format!("{}: it is no text in UTF-8", self.name)))?;
        Ok(parse(&self.name, text).map_err(wrong)?)
    }

    /// Whether it is a Kubernetes object.
    pub(crate) fn is_object(&self) -> bool {
        self.value().is_some_and(|value| value.get("apiVersion").is_some() || value.get("kind").is_some())
    }

    fn value(&self) -> Option<Value> {
        parse("", std::str::from_utf8(&self.text).ok()?).ok()
    }
}

/// What a file is called in messages.
pub(crate) fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// The bytes of a file that is not too long; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(path)?) };
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        anyhow::bail!(Failure::new(knetsim_model::Code::Limit, format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// Parses, or says what is wrong, where, and shows the lines around it.
fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let mut options = RenderOptions::new(&UserMessageFormatter);
        options.source_name = Some(name);
        let rendered = error.render_with_options(options);
        format!("{name}: {}", rendered.trim_start_matches("error: "))
    })
}

/// The file's text.
pub(crate) fn write(topology: &Topology) -> anyhow::Result<String> {
    serde_saphyr::to_string(topology).context("writing the topology")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(text: impl Into<Vec<u8>>) -> Document {
        Document { name: "lab.yaml".to_owned(), text: text.into() }
    }

    fn error(text: &str) -> String {
        parse::<Topology>("lab.yaml", text).unwrap_err()
    }

    #[test]
    fn errors_name_the_place_and_what_belongs_there() {
        for (text, place, words) in [
            ("clusters:\n  C0:\n    worker: 3\n", "lab.yaml:3:5", "unknown field `worker`"),
            ("clusters:\n  C0:\n    workers: three\n", "lab.yaml:3:5", "a number of workers, such as 3, or a list"),
            ("clusters:\n  C0:\n    workers: -1\n", "lab.yaml:3:5", "a number of workers"),
            ("clusters:\n  C0:\n    workers: [C0w1, C0w01]\n", "lab.yaml:3:21", "`C0w01` is not a node's name"),
            ("clusters:\n  C0w1: {workers: 1}\n", "lab.yaml:2:3", "`C0w1` is not a cluster's name"),
            ("clusters:\n  C0: {}\n", "lab.yaml:2:7", "missing field `workers`"),
            ("clusters: []\n", "lab.yaml:1:11", "mapping"),
            ("clusters:\n  C0:\n    workers: 3\n    workers: 4\n", "lab.yaml:4:5", "duplicate"),
        ] {
            let message = error(text);
            assert!(message.starts_with("lab.yaml: line "), "{message}");
            assert!(message.contains(place) && message.contains(words), "{place} {words}\n{message}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_is_not_one_that_wants_nothing() {
        let read = |text: &str| document(text).parse::<Topology>("hint").map_err(|error| error.to_string());
        for text in
            ["", " \n\t\n", "\u{feff}", "# generated\n", "---\n", "--- # nothing\n...\n", "null\n", "~", "!!null ''"]
        {
            assert_eq!(read(text), Err("lab.yaml: it is empty\nhint".to_owned()), "{text:?}");
        }
        assert!(read("---\n---\n").is_err());
        for text in ["{}", "{} # on purpose\n", "---\n{}\n", "clusters: {}\n", "scratch: []\n"] {
            assert_eq!(read(text), Ok(Topology::default()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_a_hint() {
        let why = document(b"\xff\xfe{\0}\0").parse::<Topology>("hint").unwrap_err().to_string();
        assert_eq!(why, "lab.yaml: it is no text in UTF-8\nhint");
    }

    /// Every word of a topology file.
    const WHOLE: &str = r#"
underlay: 10.0.0.0/8
clusters:
  C0:
    index: 1
    workers: [C0w1]
    flannel:
      Network: 11.0.0.0/8
      SubnetLen: 20
      SubnetMin: 11.10.0.0
      SubnetMax: 11.99.0.0
      EnableIPv6: false
      Backend: { Type: vxlan, VNI: 100, Port: 8472, MTU: 1400, Learning: false, DirectRouting: false, GBP: false }
    containers:
      c1: { worker: C0w1, labels: { app: web }, command: [sleep, "9"] }
    services:
      web:
        vip: 100.64.10.1
        ports: [{ name: http, protocol: tcp, port: 80, target: 8000 }]
        endpoints: [c1]
        affinity: 600
        layout: chains
      all: { selector: { app: web } }
    ingresses:
      shop:
        worker: C0w1
        port: 8001
        paths: [{ host: a.example, path: /a, type: prefix, backend: "web:80", rewrite: /b, drop_rest: true }]
        default: "web:80"
        connect_timeout: 3
        timeout: 30
        max_body: 0
    interconnect: embedded
    links:
      c0: { to: C1, cost: 1 }
    listeners:
      web: { routing_key: web, host: 10.1.0.1, port: 1029 }
    connectors:
      a: { routing_key: a, container: c1, port: 80 }
      b: { routing_key: b, selector: { app: web }, port: 80 }
      c: { routing_key: c, host: 10.1.0.1, port: 80 }
  C1:
    workers: 1
    interconnect: embedded
scratch: [box]
numbers: { box: 9 }
"#;

    /// Puts null in the place of each part, and gives the paths of the parts with the whole.
    fn with_nulls(value: &Value, path: &str) -> Vec<(String, Value)> {
        let parts: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(name, part)| (name.clone(), part)).collect(),
            Value::Array(parts) => parts.iter().enumerate().map(|(at, part)| (at.to_string(), part)).collect(),
            _ => return Vec::new(),
        };
        let mut found = Vec::new();
        for (name, part) in parts {
            let of_part = format!("{path}.{name}").trim_start_matches('.').to_owned();
            let put = |new: Value| {
                let mut whole = value.clone();
                let pointer = format!("/{}", name.replace('/', "~1"));
                *whole.pointer_mut(&pointer).unwrap() = new;
                whole
            };
            found.push((of_part.clone(), put(Value::Null)));
            found.extend(with_nulls(part, &of_part).into_iter().map(|(path, part)| (path, put(part))));
        }
        found
    }

    /// The names of all fields in a schema.
    fn fields(schema: &Value) -> Vec<&str> {
        let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let own = own.filter(|(_, field)| field.is_object()).map(|(name, _)| name.as_str());
        let parts: Vec<&Value> = match schema {
            Value::Object(parts) => parts.values().collect(),
            Value::Array(parts) => parts.iter().collect(),
            _ => Vec::new(),
        };
        own.chain(parts.into_iter().flat_map(fields)).collect()
    }

    #[test]
    fn no_word_has_nothing_behind_it() {
        assert_eq!(plan(document(WHOLE), None).map(drop).map_err(|error| error.to_string()), Ok(()));
        let whole: Value = parse("", WHOLE).unwrap();
        let all = with_nulls(&whole, "");
        let schema = serde_json::to_value(schemars::schema_for!(Topology)).unwrap();
        for field in fields(&schema) {
            let has = |(path, _): &(String, Value)| path.rsplit('.').next() == Some(field);
            assert!(all.iter().any(has), "{field} is missing above");
        }
        for (path, value) in &all {
            let why = plan(document(value.to_string()), None).unwrap_err().to_string();
            assert!(why.contains(&format!("`{path}` has nothing behind it")), "{path}: {why}");
        }
        for (text, path, place) in [
            ("clusters:\n", "clusters", "lab.yaml:1:"),
            ("scratch: [box]\nclusters: ~\n", "clusters", "lab.yaml:2:11"),
            ("clusters: { C0: { workers: 1, containers: } }", "clusters.C0.containers", "lab.yaml:1:"),
            (
                "clusters:\n  C0:\n    services:\n      web:\n        endpoints: [c1]\n        ports:\n    workers: 1\n",
                "clusters.C0.services.web.ports",
                "lab.yaml:6:",
            ),
        ] {
            let why = plan(document(text), None).unwrap_err().to_string();
            assert!(why.contains(&format!("`{path}` has nothing behind it")) && why.contains(place), "{why}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let text = "clusters:\n  C0:\n    index: 1\n    workers: [C0w2]\n    containers:\n      c1: { worker: C0w2, \
                    command: [sh, -c, \"no: 'yes' # \\n\"], labels: { app: \"true\" } }\nscratch: [box]\nnumbers: { box: 7 }\n";
        let topology: Topology = parse("a", text).unwrap();
        let again: Topology = parse("b", &write(&topology).unwrap()).unwrap();
        assert_eq!(again, topology);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-zC0-9:,\\-\\[\\]{}&*!|>'\"#% \\n\\t]{0,200}") {
            let _ = parse::<Topology>("a", &text);
        }
        #[test]
        fn any_command_survives_writing(command in proptest::collection::vec("\\PC{1,20}", 1..4)) {
            let mut topology = Topology::course();
            let cluster = topology.clusters.values_mut().next().unwrap();
            let spec = knetsim_model::topology::ContainerSpec {
                worker: "C0w1".parse().unwrap(), labels: Default::default(), command,
            };
            cluster.containers.insert("c1".parse().unwrap(), spec);
            let text = write(&topology).unwrap();
            prop_assert_eq!(parse::<Topology>("a", &text).unwrap(), topology);
        }
    }
}
