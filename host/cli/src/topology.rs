//! Topology files and their like: read, with errors by line and column, and written.

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
    text: String,
}

impl Document {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Document> {
        let name = name_of(path);
        let text = read_text(path).with_context(|| format!("reading {name}"))?;
        let text = String::from_utf8(text).map_err(|_| Failure::invalid(format!("{name}: it is no text")))?;
        Ok(Document { name, text })
    }

    /// What it says. One that says nothing is an error, whatever the type would make of it: what should have written it
    /// may have failed.
    pub(crate) fn parse<T: DeserializeOwned>(&self, hint: &str) -> anyhow::Result<T> {
        let wrong = |why: String| Failure::invalid(format!("{why}\n{hint}"));
        if self.value() == Some(Value::Null) {
            return Err(wrong(format!("{}: it is empty", self.name)).into());
        }
        Ok(parse(&self.name, &self.text).map_err(wrong)?)
    }

    /// Whether it is a Kubernetes object.
    pub(crate) fn is_object(&self) -> bool {
        self.value().is_some_and(|value| value.get("apiVersion").is_some() || value.get("kind").is_some())
    }

    fn value(&self) -> Option<Value> {
        parse("", &self.text).ok()
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
        let said = |text: &str| {
            let document = Document { name: "lab.yaml".to_owned(), text: text.to_owned() };
            document.parse::<Topology>("hint").map_err(|error| error.to_string())
        };
        for text in
            ["", " \n\t\n", "\u{feff}", "# generated\n", "---\n", "--- # nothing\n...\n", "null\n", "~", "!!null ''"]
        {
            assert_eq!(said(text), Err("lab.yaml: it is empty\nhint".to_owned()), "{text:?}");
        }
        // Nor does a part of it.
        for text in [
            "clusters:\n",
            "clusters: null\n",
            "clusters: ~\nscratch: [box]\n",
            "scratch:\n",
            "numbers:\n",
            "clusters: { C0: { workers: 1, containers: } }",
            "clusters:\n  C0:\n    workers: 1\n    services:\n",
        ] {
            let why = said(text).unwrap_err();
            assert!(why.contains("nothing stands here") && why.contains("lab.yaml:"), "{text:?}: {why}");
        }
        assert!(said("---\n---\n").is_err());
        for text in ["{}", "{} # on purpose\n", "---\n{}\n", "clusters: {}\n", "scratch: []\n"] {
            assert_eq!(said(text), Ok(Topology::default()), "{text:?}");
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
