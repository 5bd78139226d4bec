//! Whether what was found has what is expected.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values that were met under a name, to be met again.
#[derive(Clone, Default)]
pub(crate) struct Met(BTreeMap<String, Value>);

impl Met {
    /// Refuses `found` where it lacks something:
    /// - an object has the expected keys, an absent one is empty; what is expected to be `null` is absent or null;
    /// - a list has the expected items in that order, and no others;
    /// - `*` in a text stands for anything; `$name` is any value the first time and that value from then on,
    ///   `$name:veth*` the same with a pattern; `!$name` is any other value;
    /// - all else is equal.
    pub(crate) fn check(&mut self, at: &str, expected: &Value, found: &Value) -> Result<(), String> {
        match (expected, found) {
            (Value::Object(expected), Value::Object(_) | Value::Null) => {
                expected.iter().try_for_each(|(key, expected)| {
                    let key = self.key(key)?;
                    self.check(&format!("{at}/{key}"), expected, found.get(&key).unwrap_or(&Value::Null))
                })
            }
            (Value::Array(expected), Value::Array(items)) if expected.len() == items.len() => expected
                .iter()
                .zip(items)
                .enumerate()
                .try_for_each(|(index, (expected, found))| self.check(&format!("{at}/{index}"), expected, found)),
            (Value::String(text), found) if text.starts_with(['$', '!']) => self.check_named(at, text, found),
            (Value::String(text), Value::String(found)) if is_like(text, found) => Ok(()),
            (expected, found) if expected == found => Ok(()),
            (expected, found) => Err(format!("{at} is {found}, not {expected}")),
        }
    }

    fn check_named(&mut self, at: &str, text: &str, found: &Value) -> Result<(), String> {
        let (other, name) = text.strip_prefix('!').map_or((false, text), |name| (true, name));
        let (name, pattern) = name.split_once(':').unwrap_or((name, "*"));
        let is_met = match self.0.get(name) {
            None if other => return Err(format!("{at}: {name} was not met before")),
            None => {
                self.0.insert(name.to_owned(), found.clone());
                !found.is_null() && found.as_str().is_none_or(|found| is_like(pattern, found))
            }
            Some(met) => (met == found) != other,
        };
        if is_met { Ok(()) } else { Err(format!("{at} is {found}, not {text} ({:?})", self.0.get(name))) }
    }

    /// A key that may be a value's name.
    fn key(&self, key: &str) -> Result<String, String> {
        if !key.starts_with('$') {
            return Ok(key.to_owned());
        }
        let met = self.0.get(key).and_then(Value::as_str).map(str::to_owned);
        met.ok_or_else(|| format!("{key} was not met before"))
    }
}

fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return false };
    for part in middle {
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn what_is_expected_is_met_or_told() {
    use serde_json::json;
    let mut met = Met::default();
    let found = json!({"name": "veth1", "list": [1, 2], "peer": "veth1", "other": "x"});
    for (expected, is_met) in [
        (json!({"name": "$veth:veth*", "list": [1, 2], "absent": null}), true),
        (json!({"peer": "$veth", "other": "!$veth"}), true),
        (json!({"other": "$veth"}), false),
        (json!({"peer": "!$veth"}), false),
        (json!({"list": [1]}), false),
        (json!({"list": [2, 1]}), false),
        (json!({"name": null}), false),
        (json!({"name": "v*1"}), true),
        (json!({"name": "v*2"}), false),
        (json!({"absent": 1}), false),
        (json!({"name": "$new:x*"}), false),
    ] {
        assert_eq!(met.check("", &expected, &found).is_ok(), is_met, "{expected}");
    }
}
