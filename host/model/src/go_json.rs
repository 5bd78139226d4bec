//! JSON as Go's `encoding/json` reads it, which is how flannel and CNI's programs read theirs.
//!
//! | | Go, and here | serde_json by itself |
//! |---|---|---|
//! | a key in another case: `MTU` for `mtu` | is the field, unless another field bears that very name | unknown |
//! | several keys for one field | the last one counts | an error |
//! | `null` | the field keeps its default | an error for most types |
//! | a key of no field | passed over | passed over |
//!
//! A type says its field names to serde, so this works for what `derive(Deserialize)` makes of structs
//! with named fields, at any depth. Keys of maps stay as they are, in Go too.
//!
//! [`Value`] keeps the keys of an object sorted, as Go prints its maps: *the last one* is that of this order. Of two
//! objects for one field Go takes both together; here the last one counts as a whole.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, MapAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// Reads a typed value from a text, as Go does.
///
/// # Errors
/// The text is no JSON, or not of that type.
pub fn from_slice<T: for<'de> Deserialize<'de>>(text: &[u8]) -> Result<T, Error> {
    from_value(&serde_json::from_slice(text)?)
}

/// Reads a typed value from JSON, as Go does.
///
/// # Errors
/// It is not of that type.
pub fn from_value<'de, T: Deserialize<'de>>(json: &'de Value) -> Result<T, Error> {
    T::deserialize(GoValue(json))
}

/// Reads a typed value from an object, as Go does.
///
/// # Errors
/// It is not of that type.
pub fn from_object<'de, T: Deserialize<'de>>(object: &'de Map<String, Value>) -> Result<T, Error> {
    T::deserialize(GoObject(object))
}

/// The value of one field of an object, as Go finds it; none where it is `null` or absent.
pub fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().filter(|(key, value)| is_key_of(key, name) && !value.is_null()).map(|(_, value)| value).next_back()
}

/// Whether Go takes a key for that field: letters are compared without their case.
///
/// `name` is ASCII. Two signs beyond ASCII are letters of it to Go, by Unicode's simple case folding:
/// the long s and the sign of the kelvin.
pub fn is_key_of(key: &str, name: &str) -> bool {
    let fold = |sign: char| match sign {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        sign => sign.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

fn entries<'de>(of: impl IntoIterator<Item = (&'de str, &'de Value)>) -> impl MapAccess<'de, Error = Error> {
    MapDeserializer::new(of.into_iter().map(|(key, value)| (BorrowedStrDeserializer::new(key), GoValue(value))))
}

#[derive(Clone, Copy)]
struct GoValue<'de>(&'de Value);

/// Reads a scalar; `null` is the type's zero.
macro_rules! scalars {
    ($($method:ident $visit:ident $zero:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if self.0.is_null() { visitor.$visit($zero) } else { self.0.$method(visitor) }
        }
    )*};
}

impl<'de> Deserializer<'de> for GoValue<'de> {
    type Error = Error;

    scalars! {
        deserialize_bool visit_bool false;
        deserialize_i8 visit_i8 0; deserialize_i16 visit_i16 0; deserialize_i32 visit_i32 0; deserialize_i64 visit_i64 0;
        deserialize_i128 visit_i128 0;
        deserialize_u8 visit_u8 0; deserialize_u16 visit_u16 0; deserialize_u32 visit_u32 0; deserialize_u64 visit_u64 0;
        deserialize_u128 visit_u128 0;
        deserialize_f32 visit_f32 0.0; deserialize_f64 visit_f64 0.0;
        deserialize_str visit_borrowed_str ""; deserialize_string visit_borrowed_str "";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(GoValue))),
            Value::Object(object) => GoObject(object).deserialize_any(visitor),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<GoValue<'de>>())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_map(entries([])),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(object) => GoObject(object).deserialize_struct(name, fields, visitor),
            Value::Null => self.deserialize_map(visitor),
            // serde would take the items for the fields, in their order.
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

impl<'de> IntoDeserializer<'de, Error> for GoValue<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

struct GoObject<'de>(&'de Map<String, Value>);

impl<'de> Deserializer<'de> for GoObject<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(entries(self.0.iter().map(|(key, value)| (key.as_str(), value))))
    }

    /// Gives each field the value of the last key that is its, by the field's name.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let field_of = |key: &'de str| {
            let exact = fields.iter().find(|field| **field == key);
            exact.or_else(|| fields.iter().find(|field| is_key_of(key, field))).copied().unwrap_or(key)
        };
        let given = self.0.iter().filter(|(_, value)| !value.is_null());
        let last: BTreeMap<&str, &Value> = given.map(|(key, value)| (field_of(key), value)).collect();
        visitor.visit_map(entries(last))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Sample {
        is_gateway: bool,
        mtu: u32,
        sky: Option<String>,
        routes: Vec<Inner>,
        ipam: Inner,
        #[serde(rename = "MASK")]
        upper: u8,
        mask: u8,
        args: Map<String, Value>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Inner {
        range_start: String,
        gateway: Option<std::net::IpAddr>,
    }

    fn sample(json: Value) -> Sample {
        from_value(&json).unwrap()
    }

    #[test]
    fn keys_are_found_in_any_case_at_any_depth() {
        let read = sample(json!({
            "ISGATEWAY": true, "Mtu": 9, "\u{17f}\u{212a}y": "s", "Routes": [{"RANGEstart": "a"}],
            "IPAM": {"rangestart": "b", "GATEWAY": "10.0.0.1"}, "Args": {"Key": 1, "key": 2}, "unknown": {}
        }));
        let expected = Sample {
            is_gateway: true,
            mtu: 9,
            sky: Some("s".to_owned()),
            routes: vec![Inner { range_start: "a".to_owned(), gateway: None }],
            ipam: Inner { range_start: "b".to_owned(), gateway: "10.0.0.1".parse().ok() },
            args: json!({"Key": 1, "key": 2}).as_object().unwrap().clone(),
            ..Sample::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_field_of_that_very_name_comes_first_and_the_last_key_counts() {
        let read = sample(json!({"MASK": 1, "mask": 2, "MTU": 3, "mtu": 4}));
        assert_eq!((read.upper, read.mask, read.mtu), (1, 2, 4));
        let twice: Sample = from_slice(br#"{"mtu": 1, "mtu": 2}"#).unwrap();
        assert_eq!(twice.mtu, 2);
        let object = json!({"MTU": 3, "mtu": 4, "name": null});
        let object = object.as_object().unwrap();
        assert_eq!((field(object, "mtu"), field(object, "name")), (Some(&json!(4)), None));
    }

    #[test]
    fn null_is_absent_in_fields_and_zero_elsewhere() {
        let nulls = json!({"isGateway": null, "mtu": null, "sky": null, "routes": null, "ipam": null, "args": null});
        assert_eq!(sample(nulls), Sample::default());
        assert_eq!(sample(json!({"mtu": 7, "mtv": 1, "MTU": null})).mtu, 7);
        assert_eq!(sample(json!(null)), Sample::default());
        assert_eq!(sample(json!({"routes": [null]})).routes, [Inner::default()]);
        assert_eq!(from_value::<Vec<String>>(&json!(["a", null])).unwrap(), ["a", ""]);
    }

    #[test]
    fn what_is_of_another_type_is_refused() {
        for json in [json!([]), json!("x"), json!({"mtu": "1"}), json!({"mtu": 1.0}), json!({"ipam": ["a"]})] {
            assert!(from_value::<Sample>(&json).is_err(), "{json}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-zK\u{17f}\u{212a}]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop_oneof!["[A-Za-z]{0,3}", Just("mtu".to_owned()), Just("Ipam".to_owned())];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_or_refused_and_as_a_value_it_stays_the_same(json in any_json()) {
            prop_assert_eq!(&from_value::<Value>(&json).unwrap(), &json);
            let _ = from_value::<Sample>(&json);
            let _ = from_value::<Vec<Inner>>(&json);
        }

        #[test]
        fn case_and_nulls_change_nothing(upper in any::<[bool; 9]>(), mtu: u32, gateway: [u8; 4]) {
            let key = |name: &str| name.chars().zip(upper.iter().cycle()).map(|(sign, upper)| {
                if *upper { sign.to_ascii_uppercase() } else { sign }
            }).collect::<String>();
            let gateway = std::net::IpAddr::from(gateway);
            let folded = json!({key("mtu"): mtu, key("ipam"): {key("gateway"): gateway, "rangeStart": null}, "sky": null});
            let plain: Sample = serde_json::from_value(json!({"mtu": mtu, "ipam": {"gateway": gateway}})).unwrap();
            prop_assert_eq!(sample(folded), plain);
        }
    }
}
