//! The form of the data: a collection of cases, each of which stands for as many specs as it has versions and rows.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collection {
    /// Where the cases come from.
    #[serde(rename = "source")]
    _source: String,
    /// The plugin that is called.
    plugin: String,
    /// What the configurations of all cases have.
    #[serde(default)]
    config: Map<String, Value>,
    /// Steps that several cases share, by a name.
    #[serde(default)]
    sequences: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Why it is not run.
    left_out: Option<String>,
    /// Why Debian's plugins are not asked.
    not_real: Option<String>,
    /// One spec for each of these versions of CNI: `{version}` in the configuration.
    #[serde(default)]
    versions: Vec<String>,
    /// One spec for each of these rows: `{key}` stands for the row's value anywhere in the case.
    #[serde(default)]
    each: Vec<Map<String, Value>>,
    /// How many specs it stands for, where that is not a spec for each version of each row.
    count: Option<usize>,
    /// What the collection's configuration lacks.
    #[serde(default)]
    config: Map<String, Value>,
    /// Steps, or the name of a sequence.
    #[serde(default)]
    steps: Value,
}

/// One run.
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) real: bool,
    pub(crate) plugin: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) steps: Vec<Step>,
}

/// What is done or looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// A command of the protocol, `ADD`.
    pub(crate) call: Option<String>,
    /// Another plugin than the collection's.
    pub(crate) plugin: Option<String>,
    /// More environment: `CNI_ARGS`.
    #[serde(default)]
    pub(crate) environment: Map<String, Value>,
    /// What the configuration has besides, for this call; a `null` takes a key away.
    #[serde(default)]
    pub(crate) with: Map<String, Value>,
    /// The whole configuration as a text, where it is no JSON or its order counts.
    pub(crate) input: Option<String>,
    /// The result of the last ADD goes along as `prevResult`, without these keys.
    pub(crate) previous_without: Option<Vec<String>>,
    /// What the result has.
    pub(crate) result: Option<Value>,
    /// The error that is expected: its code, and a word of its message.
    pub(crate) error: Option<ExpectedError>,

    /// A program to run, `["ip", "link", ...]`: what others did before or meanwhile.
    pub(crate) run: Option<Vec<String>>,
    /// Where it is run: `node` or `container`.
    #[serde(default, rename = "in")]
    pub(crate) place: String,
    /// Files to write: path and content.
    #[serde(default)]
    pub(crate) write: Map<String, Value>,
    /// What is to be found in `node`, in `container` and in `files`.
    pub(crate) find: Option<Map<String, Value>>,

    /// The oldest version for which the step is done.
    #[serde(default)]
    pub(crate) from: String,
    /// The newest version for which the step is done.
    pub(crate) until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedError {
    pub(crate) code: u64,
    pub(crate) word: String,
}

impl Collection {
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.cases.iter().map(|case| case.name.as_str())
    }

    /// Why specs are left out, and how many.
    pub(crate) fn left_out(&self) -> Vec<(&str, usize)> {
        self.cases.iter().filter_map(|case| Some((case.left_out.as_deref()?, case.count()))).collect()
    }

    /// How many specs the collection stands for.
    pub(crate) fn count(&self) -> usize {
        self.cases.iter().map(Case::count).sum()
    }

    /// All that are run.
    pub(crate) fn specs(&self) -> Vec<Spec> {
        let run = self.cases.iter().filter(|case| case.left_out.is_none());
        run.flat_map(|case| self.specs_of(case)).collect()
    }

    fn specs_of(&self, case: &Case) -> Vec<Spec> {
        let steps = match &case.steps {
            Value::String(name) => &self.sequences[name],
            steps => steps,
        };
        let versions = if case.versions.is_empty() { &vec![String::new()] } else { &case.versions };
        let rows = if case.each.is_empty() { &vec![Map::new()] } else { &case.each };
        let mut specs = Vec::new();
        for version in versions {
            for (number, row) in rows.iter().enumerate() {
                let mut config = self.config.clone();
                config.extend(case.config.clone());
                if !version.is_empty() {
                    config.insert("cniVersion".into(), version.clone().into());
                }
                let config = filled(&Value::Object(config), row).as_object().unwrap().clone();
                let steps: Vec<Step> =
                    serde_json::from_value(filled(steps, row)).unwrap_or_else(|error| panic!("{}: {error}", case.name));
                let done = |step: &Step| {
                    version.is_empty()
                        || (&step.from <= version && step.until.as_ref().is_none_or(|last| version <= last))
                };
                let name = if case.each.is_empty() { case.name.clone() } else { format!("{} ({number})", case.name) };
                specs.push(Spec {
                    name,
                    version: version.clone(),
                    real: case.not_real.is_none(),
                    plugin: self.plugin.clone(),
                    config,
                    steps: steps.into_iter().filter(done).collect(),
                });
            }
        }
        specs
    }
}

impl Case {
    fn count(&self) -> usize {
        self.count.unwrap_or_else(|| self.versions.len().max(1) * self.each.len().max(1))
    }
}

/// The value with a row's values in place of `{key}`: whole where the text is nothing else, else as text.
pub(crate) fn filled(value: &Value, row: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => row
            .iter()
            .find(|(key, _)| text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) == Some(key.as_str()))
            .map_or_else(|| Value::String(filled_text(text, row)), |(_, value)| value.clone()),
        Value::Array(items) => items.iter().map(|item| filled(item, row)).collect(),
        Value::Object(object) => {
            let object = object.iter().map(|(key, value)| (filled_text(key, row), filled(value, row)));
            Value::Object(object.collect())
        }
        other => other.clone(),
    }
}

fn filled_text(text: &str, row: &Map<String, Value>) -> String {
    let values = row.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
    values.fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
}
