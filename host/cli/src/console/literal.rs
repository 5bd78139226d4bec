//! Python's literals, as far as the slides use them: text, numbers, lists, dictionaries.

/// A literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    List(Vec<Value>),
    Dict(Vec<(String, Value)>),
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// How deep literals may be in each other.
const DEPTH: usize = 16;

/// What is left to be read.
pub(super) struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Reader { rest: text.trim_start() }
    }

    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes that character, where it is the next one.
    pub(super) fn takes(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest).trim_start();
        rest.is_some()
    }

    /// Takes a name.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let name = self.while_(|c| c.is_ascii_alphanumeric() || c == '_');
        (!name.is_empty()).then_some(name)
    }

    /// Takes what a call has in its brackets.
    pub(super) fn arguments(&mut self) -> Result<Vec<Value>, String> {
        self.needs('(')?;
        self.list(')', |reader| reader.value(0))
    }

    fn while_(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !holds(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        taken
    }

    fn needs(&mut self, c: char) -> Result<(), String> {
        if self.takes(c) { Ok(()) } else { Err(format!("`{c}` is missing {}", self.place())) }
    }

    fn place(&self) -> String {
        match self.rest {
            "" => "at the end".to_owned(),
            rest => format!("before `{}`", rest.chars().take(20).collect::<String>()),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH {
            return Err("too many brackets in each other".to_owned());
        }
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.text(quote).map(Value::Text),
            Some('[') => {
                self.needs('[')?;
                self.list(']', |reader| reader.value(depth + 1)).map(Value::List)
            }
            Some('{') => {
                self.needs('{')?;
                let entry = |reader: &mut Self| match reader.value(depth + 1)? {
                    Value::Text(key) => reader.needs(':').and_then(|()| Ok((key, reader.value(depth + 1)?))),
                    _ => Err("a dictionary's keys are text".to_owned()),
                };
                self.list('}', entry).map(Value::Dict)
            }
            Some('0'..='9') => {
                let digits = self.while_(|c| c.is_ascii_digit());
                digits.parse().map(Value::Number).map_err(|_| format!("{digits} is too big"))
            }
            _ => match self.while_(|c| c.is_alphanumeric() || "_.-".contains(c)) {
                "" => Err(format!("something is missing {}", self.place())),
                word => Err(format!("write `{word}` in quotes, \"{word}\"")),
            },
        }
    }

    fn list<T>(&mut self, end: char, each: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut values = Vec::new();
        while !self.takes(end) {
            values.push(each(self)?);
            if !self.takes(',') {
                self.needs(end)?;
                break;
            }
        }
        Ok(values)
    }

    fn text(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest.chars();
        chars.next();
        loop {
            match chars.next().ok_or_else(|| format!("a {quote} is not closed"))? {
                c if c == quote => break,
                '\\' => text.extend(match chars.next() {
                    Some('n') => Some('\n'),
                    Some('t') => Some('\t'),
                    other => other,
                }),
                c => text.push(c),
            }
        }
        self.rest = chars.as_str().trim_start();
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, String> {
        Reader::new(text).value(0)
    }

    /// As Python's `repr` writes it.
    fn written(value: &Value) -> String {
        let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        match value {
            Value::Text(it) => text(it),
            Value::Number(number) => number.to_string(),
            Value::List(values) => format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", ")),
            Value::Dict(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{}: {}", text(key), written(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof!["\\PC{0,8}".prop_map(Value::Text), any::<u64>().prop_map(Value::Number)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::vec(("\\PC{0,8}", inner), 0..4).prop_map(Value::Dict),
            ]
        })
    }

    #[test]
    fn literals_are_pythons() {
        assert_eq!(read("'a\"b'"), Ok(Value::Text("a\"b".to_owned())));
        assert_eq!(read("[1, 2,]"), Ok(Value::List(vec![Value::Number(1), Value::Number(2)])));
        assert_eq!(read("{\"a\": 1}").unwrap().get("a"), Some(&Value::Number(1)));
        for wrong in ["", "[1", "[1 2]", "{1: 2}", "{\"a\" 1}", "'a", "99999999999999999999", "None", &"[".repeat(99)] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any_value()) {
            prop_assert_eq!(read(&written(&value)), Ok(value));
        }

        #[test]
        fn nothing_panics(text in "[\\[\\]{}\"'a0:, \\\\]{0,30}") {
            let _ = read(&text);
        }
    }
}
