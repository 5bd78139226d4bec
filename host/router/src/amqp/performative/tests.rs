use proptest::prelude::*;

use super::*;

fn round_trip(performative: &Performative) {
    let mut out = Vec::new();
    encode(&mut out, 3, performative);
    let (frame, size) = frame::split(&out, 16_384).unwrap();
    assert_eq!((size, frame.channel), (out.len(), 3));
    let (decoded, payload) = decode(frame.body).unwrap().unwrap();
    assert_eq!((&decoded, payload), (performative, &[][..]));
}

#[test]
fn every_performative_comes_back() {
    let error = Some(Condition::new("amqp:not-found", "no such thing"));
    let all = [
        Performative::Open(Open {
            container: "c0".into(),
            hostname: Some("10.0.0.3".into()),
            max_frame: 16_384,
            channel_max: 32_767,
            idle_timeout: Some(8000),
            offered: vec!["ANONYMOUS-RELAY".into(), "qd.streaming-links".into()],
            properties: vec![("product".into(), Value::string("x")), ("n".into(), Value::int(2))],
        }),
        Performative::Begin(Begin { remote_channel: Some(7), next_outgoing: 0, incoming_window: 640 }),
        Performative::Attach(Attach {
            name: "link".into(),
            handle: 1,
            receiver: true,
            capability: Some("qd.router".into()),
            initial_count: 0,
        }),
        Performative::Flow(Flow {
            next_incoming: Some(9),
            incoming_window: 640,
            next_outgoing: 300,
            link: Some((0, 8, 250)),
            echo: false,
        }),
        Performative::Transfer(Transfer {
            handle: 0,
            delivery: Some(70_000),
            settled: true,
            more: true,
            aborted: false,
        }),
        Performative::Transfer(Transfer { handle: 2, delivery: None, settled: false, more: false, aborted: true }),
        Performative::Disposition(Disposition {
            receiver: true,
            first: 3,
            last: 4,
            settled: false,
            state: Some(Outcome::Received(1 << 40)),
        }),
        Performative::Disposition(Disposition {
            receiver: true,
            first: 0,
            last: 0,
            settled: true,
            state: Some(Outcome::Rejected(error.clone())),
        }),
        Performative::Detach { handle: 4, error: error.clone() },
        Performative::End { error: None },
        Performative::Close { error },
    ];
    all.iter().for_each(round_trip);
}

#[test]
fn frames_of_the_security_layer_come_back() {
    for sasl in [
        Sasl::Mechanisms(vec!["EXTERNAL".into(), "ANONYMOUS".into()]),
        Sasl::Init { mechanism: "EXTERNAL".into() },
        Sasl::Outcome(1),
    ] {
        let mut out = Vec::new();
        encode_sasl(&mut out, &sasl);
        let (frame, _) = frame::split(&out, 512).unwrap();
        assert!(frame.sasl);
        assert_eq!(decode_sasl(frame.body), Ok(sasl));
    }
}

#[test]
fn a_missing_field_and_one_of_the_wrong_type_are_refused() {
    // A begin without its next outgoing id; a transfer whose handle is a string.
    for body in [&[0, 0x53, 0x11, 0xc0, 2, 1, 0x40][..], &[0, 0x53, 0x14, 0xc0, 4, 1, 0xa1, 1, b'x']] {
        assert!(matches!(decode(body), Err(DecodeError::Malformed(_))));
    }
}

proptest! {
    #[test]
    fn any_fields_are_a_performative_or_refused(
        kind in 0x10u8..0x19,
        fields in proptest::collection::vec(any::<u8>(), 0..120),
        count in any::<u8>(),
    ) {
        let mut body = vec![0, 0x53, kind, 0xc0, u8::try_from(fields.len() + 1).unwrap(), count];
        body.extend(fields);
        let _ = decode(&body);
        body[2] = 0x40 + kind % 5;
        let _ = decode_sasl(&body);
    }
}
