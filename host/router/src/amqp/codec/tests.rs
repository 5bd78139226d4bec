use proptest::prelude::*;

use super::*;

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(&mut out).value(value);
    out
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(|value| Value::Unsigned(value.into(), 1)),
        any::<u16>().prop_map(|value| Value::Unsigned(value.into(), 2)),
        any::<u32>().prop_map(Value::uint),
        any::<u64>().prop_map(|value| Value::Unsigned(value, 8)),
        any::<i32>().prop_map(Value::int),
        any::<i64>().prop_map(Value::long),
        any::<i64>().prop_map(Value::Timestamp),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Binary),
        ".{0,300}".prop_map(Value::String),
        "[a-z.-]{0,40}".prop_map(Value::Symbol),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..5).prop_map(Value::Map),
            (inner.clone(), inner).prop_map(|(a, b)| Value::Described(Box::new(a), Box::new(b))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(value in any_value()) {
        let bytes = encode(&value);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(decoder.value(), Ok(value));
        prop_assert!(decoder.is_empty());
    }

    #[test]
    fn skipping_reads_as_far_as_decoding(value in any_value()) {
        let mut bytes = encode(&value);
        bytes.push(0x40);
        let mut decoder = Decoder::new(&bytes);
        decoder.skip().unwrap();
        prop_assert_eq!(decoder.rest(), &[0x40]);
    }

    #[test]
    fn a_part_of_a_value_is_truncated_and_never_something_else(value in any_value(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&value);
        let part = &bytes[..at.index(bytes.len())];
        prop_assert_eq!(Decoder::new(part).value(), Err(DecodeError::Truncated));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Decoder::new(&bytes).value();
        let _ = Decoder::new(&bytes).skip();
    }

    #[test]
    fn a_changed_byte_decodes_or_is_refused(value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Decoder::new(&bytes).value();
    }
}

#[test]
fn a_value_as_deep_as_its_bytes_is_refused() {
    assert_eq!(Decoder::new(&[0; 16_000]).value(), Err(DecodeError::Depth));
    assert_eq!(Decoder::new(&[0; 16_000]).skip(), Err(DecodeError::Depth));
}

#[test]
fn a_count_that_the_bytes_do_not_bear_out_allocates_nothing() {
    // An array of four thousand million nulls, a list of as many items.
    for code in [0xf0, 0xd0] {
        let bytes = [code, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x40, 0x40];
        assert!(matches!(Decoder::new(&bytes).value(), Err(DecodeError::Malformed(_))));
    }
}

#[test]
fn short_forms_decode() {
    let cases: &[(&[u8], Value)] = &[
        (&[0x43], Value::uint(0)),
        (&[0x52, 7], Value::uint(7)),
        (&[0x53, 7], Value::Unsigned(7, 8)),
        (&[0x45], Value::List(vec![])),
        (&[0x55, 0xff], Value::long(-1)),
        (&[0xe0, 4, 2, 0x50, 1, 2], Value::Array(vec![Value::Unsigned(1, 1), Value::Unsigned(2, 1)])),
    ];
    for (bytes, value) in cases {
        assert_eq!(Decoder::new(bytes).value().as_ref(), Ok(value));
    }
}
