use proptest::prelude::*;

use super::receive::FREE;
use super::*;
use crate::amqp::codec::Value;
use crate::amqp::performative::Sasl;

fn settings(server: bool) -> Settings {
    Settings {
        server,
        container: if server { "server" } else { "client" }.to_owned(),
        hostname: None,
        mechanisms: vec!["ANONYMOUS".to_owned()],
        sasl_optional: false,
        max_frame: 1024,
        session_frames: 8,
        idle_timeout: Duration::from_secs(16),
        cost: 1,
        number: 1,
    }
}

/// Two ends and what is under way to each.
struct Pair {
    client: Endpoint,
    server: Endpoint,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// What the server's side was told of deliveries.
    arrived: Vec<(u16, u32, Vec<u8>, bool, bool)>,
    states: Vec<(Owner, Option<Outcome>, bool)>,
}

impl Pair {
    fn new() -> Self {
        Pair::of(|_| ())
    }

    fn of(change: impl Fn(&mut Settings)) -> Self {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let changed = |server| {
            let mut settings = settings(server);
            change(&mut settings);
            settings
        };
        let client = Endpoint::new(changed(false), &mut to_server);
        let server = Endpoint::new(changed(true), &mut to_client);
        let mut pair = Pair { client, server, to_server, to_client, arrived: Vec::new(), states: Vec::new() };
        pair.exchange().unwrap();
        pair
    }

    fn exchange(&mut self) -> Result<(), Failure> {
        while !self.to_server.is_empty() || !self.to_client.is_empty() {
            let bytes = std::mem::take(&mut self.to_server);
            let mut rest = &bytes[..];
            while let Some((size, event)) = self.server.consume(rest, &mut self.to_client)? {
                rest = &rest[size..];
                if let Event::Transfer { session, link, payload, more, aborted } = event {
                    self.arrived.push((session, link, payload.to_vec(), more, aborted));
                }
            }
            let bytes = std::mem::take(&mut self.to_client);
            let mut rest = &bytes[..];
            while let Some((size, event)) = self.client.consume(rest, &mut self.to_server)? {
                rest = &rest[size..];
                if let Event::States(states) = event {
                    self.states.extend(states);
                }
            }
        }
        Ok(())
    }

    fn transfer(&mut self, session: u16, payload: &[u8], part: Part) {
        self.client.put_transfer(session, payload.len(), part, &mut self.to_server);
        self.to_server.extend_from_slice(payload);
        self.exchange().unwrap();
    }
}

#[test]
fn two_ends_come_up_with_links_for_control_both_ways() {
    let mut pair = Pair::new();
    assert_eq!((pair.client.peer(), pair.server.peer()), (Some("server"), Some("client")));
    assert!(pair.server.put_control(b"hello", &mut pair.to_client));
    assert!(pair.client.is_routing());
    assert!(pair.client.put_control(b"hello", &mut pair.to_server));
    pair.exchange().unwrap();
    let (session, link, payload, more, _) = pair.arrived[0].clone();
    assert_eq!((&payload[..], more), (&b"hello"[..], false));
    assert_eq!(pair.server.purpose(session, link), Purpose::Control);
    assert!(pair.server.incoming(session, link).unwrap().settled);
}

#[test]
fn a_stream_is_one_delivery_over_many_transfers_and_its_link_is_used_again() {
    let mut pair = Pair::new();
    let owner = Owner::Flow(7);
    let session = pair.client.stream(owner, &mut pair.to_server).unwrap();
    assert_eq!(pair.client.room(session).transfers, 0, "not attached yet");
    pair.exchange().unwrap();
    assert!(pair.client.room(session).transfers > 0);
    for (payload, part) in [(&b"head"[..], Part::More), (b"bytes", Part::More), (b"", Part::Last)] {
        pair.transfer(session, payload, part);
    }
    let parts: Vec<_> = pair.arrived.iter().map(|(_, _, payload, more, _)| (&payload[..], *more)).collect();
    assert_eq!(parts, [(&b"head"[..], true), (b"bytes", true), (b"", false)]);
    let (at, link, ..) = pair.arrived[0];
    let delivery = pair.server.incoming(at, link).unwrap().delivery;
    pair.server.settle(at, delivery, Outcome::Received(5), false, &mut pair.to_client);
    pair.server.settle(at, delivery, Outcome::Accepted, true, &mut pair.to_client);
    pair.server.taken(at, link, true, &mut pair.to_client);
    pair.exchange().unwrap();
    assert_eq!(pair.states, [(owner, Some(Outcome::Received(5)), false), (owner, Some(Outcome::Accepted), true)]);
    assert_eq!(pair.client.stream(owner, &mut pair.to_server), Some(session));
}

#[test]
fn the_window_runs_out_unless_what_arrives_is_taken() {
    let mut pair = Pair::new();
    let session = pair.client.stream(Owner::Flow(1), &mut pair.to_server).unwrap();
    pair.exchange().unwrap();
    for sent in 0..8 {
        assert_eq!(pair.client.room(session).transfers, 8 - sent);
        pair.transfer(session, &[0; 900], Part::More);
    }
    assert_eq!(pair.client.room(session).transfers, 0);
    let (at, link, ..) = pair.arrived[0];
    // What is free of the bound of a delivery takes nothing off the window; eight frames of 1024 bytes are all of it.
    let [none, three, all] = [FREE, FREE + 3 * 1024, FREE + 8 * 1024];
    pair.server.count_untaken((at, link), 0, none, &mut pair.to_client);
    pair.server.count_untaken((at, link), none, all, &mut pair.to_client);
    pair.server.taken(at, link, false, &mut pair.to_client);
    pair.exchange().unwrap();
    assert_eq!((pair.client.room(session).transfers, pair.server.untaken()), (0, all), "all of it waits");
    pair.server.count_untaken((at, link), all, three, &mut pair.to_client);
    pair.exchange().unwrap();
    assert_eq!(pair.client.room(session).transfers, 5, "three frames wait");
    for _ in 0..5 {
        pair.transfer(session, b"x", Part::More);
    }
    pair.server.count_untaken((at, link), three, 0, &mut pair.to_client);
    pair.exchange().unwrap();
    assert_eq!((pair.client.room(session).transfers, pair.server.untaken()), (8, 0));
}

#[test]
fn who_sends_more_than_the_window_is_cut_off() {
    let mut pair = Pair::new();
    let session = pair.client.stream(Owner::Flow(1), &mut pair.to_server).unwrap();
    pair.exchange().unwrap();
    for _ in 0..9 {
        pair.client.put_transfer(session, 1, Part::More, &mut pair.to_server);
        pair.to_server.push(0);
    }
    assert_eq!(pair.exchange(), Err(Failure::Protocol("it sends more than its window allows")));
}

#[test]
fn when_a_connection_is_lost_all_that_was_under_way_is_named() {
    let mut pair = Pair::new();
    let session = pair.client.stream(Owner::Flow(3), &mut pair.to_server).unwrap();
    pair.exchange().unwrap();
    pair.transfer(session, b"head", Part::More);
    let (at, link, ..) = pair.arrived[0];
    pair.server.incoming(at, link).unwrap().sink = Sink::Flow(9);
    assert_eq!(pair.server.interests(), (vec![Sink::Flow(9)], vec![]));
    assert!(pair.client.interests().1.contains(&Owner::Flow(3)));
}

#[test]
fn wrong_beginnings_say_what_is_wrong() {
    let cases: [(&[u8], &str); 4] = [
        (b"GET / HTTP/1.1\r\n", "doesn't speak AMQP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "speaks TLS"),
        (b"AMQP\x00\x01\x00\x00", "without the security layer"),
        (b"AMQP\x03\x01\x00\x00\x7f\xff\xff\xff\x02\x01\x00\x00", "longer than agreed"),
    ];
    for (bytes, expected) in cases {
        let mut out = Vec::new();
        let mut endpoint = Endpoint::new(settings(true), &mut out);
        let mut rest = bytes;
        let failure = loop {
            match endpoint.consume(rest, &mut out) {
                Ok(Some((size, _))) => rest = &rest[size..],
                Ok(None) => panic!("{bytes:?} is taken"),
                Err(failure) => break failure.to_string(),
            }
        };
        assert!(failure.contains(expected), "{failure} should say {expected}");
    }
}

#[test]
fn a_mechanism_that_isnt_allowed_is_refused_and_both_are_named() {
    let mut out = Vec::new();
    let mut client = Endpoint::new(Settings { mechanisms: vec!["EXTERNAL".into()], ..settings(false) }, &mut out);
    let mut offer = frame::SASL_HEADER.to_vec();
    performative::encode_sasl(&mut offer, &Sasl::Mechanisms(vec!["PLAIN".into()]));
    client.consume(&offer, &mut out).unwrap();
    let failure = client.consume(&offer[8..], &mut out).unwrap_err().to_string();
    assert!(failure.contains("PLAIN") && failure.contains("EXTERNAL"), "{failure}");
}

/// What a server says to a peer that opens with these properties and attaches a link of this capability.
fn attached_by(properties: &[(&str, Value)], capability: Option<&str>) -> (Failure, String) {
    let mut out = Vec::new();
    let mut server = Endpoint::new(Settings { sasl_optional: true, ..settings(true) }, &mut out);
    let mut bytes = frame::AMQP_HEADER.to_vec();
    let open = Open {
        container: "someone".into(),
        hostname: None,
        max_frame: 1024,
        channel_max: 10,
        idle_timeout: None,
        offered: Vec::new(),
        properties: properties.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
    };
    performative::encode(&mut bytes, 0, &Performative::Open(open));
    let begin = Begin { remote_channel: None, next_outgoing: 0, incoming_window: 100 };
    performative::encode(&mut bytes, 0, &Performative::Begin(begin));
    let capability = capability.map(str::to_owned);
    let attach = Attach { name: "link".into(), handle: 0, receiver: false, capability, initial_count: 0 };
    performative::encode(&mut bytes, 0, &Performative::Attach(attach));
    let mut rest = &bytes[..];
    loop {
        match server.consume(rest, &mut out) {
            Ok(Some((size, _))) => rest = &rest[size..],
            Ok(None) => panic!("the link is taken"),
            Err(failure) => return (failure, String::from_utf8_lossy(&out).into_owned()),
        }
    }
}

#[test]
fn who_is_no_interior_router_is_refused_with_its_role() {
    let (product, version) = (("product", Value::string("prog")), ("qd.annotations-version", Value::int(2)));
    for (properties, capability, role) in [
        (vec![product.clone()], None, "\"someone\" (prog), a client (role normal)"),
        (Vec::new(), None, "\"someone\", a client (role normal)"),
        (vec![product, version], Some("qd.router-edge-downlink"), "the edge router \"someone\" (role edge)"),
    ] {
        let (failure, said) = attached_by(&properties, capability);
        assert!(failure.to_string().contains(role), "{failure}");
        assert!(said.contains("qd:connection-role"), "{said}");
        assert!(said.contains("Link attach forbidden on inter-router connection"), "{said}");
    }
}

#[test]
fn a_peer_that_takes_no_routers_is_named_by_what_it_says() {
    let mut pair = Pair::new();
    let error = Some(Condition::new("qd:forbidden", "Connectivity to the node is forbidden"));
    // Both ends number the links of a session as they come.
    let (session, handle) = pair.client.control.unwrap();
    performative::encode(&mut pair.to_client, session, &Performative::Detach { handle, error });
    let failure = pair.exchange().unwrap_err().to_string();
    assert!(failure.contains("Connectivity to the node is forbidden") && failure.contains("inter-router"), "{failure}");
}

#[test]
fn of_both_ends_costs_the_larger_counts_at_both() {
    for (client, server, expected) in [(1, 1, 1), (10, 1, 10), (1, 7, 7), (u32::MAX, 1, i32::MAX as u32)] {
        let pair = Pair::of(|settings| settings.cost = if settings.server { server } else { client });
        assert_eq!((pair.client.cost(), pair.server.cost()), (expected, expected));
    }
}

/// A client of a peer that bounds what is under way, with a window of so many frames.
fn bounded(frames: u32) -> Pair {
    let mut pair = Pair::of(|settings| settings.session_frames = frames);
    pair.client.bounded = true;
    pair
}

/// Begins a stream with a head of one byte.
fn begin(pair: &mut Pair, flow: usize) -> u16 {
    let session = pair.client.stream(Owner::Flow(flow), &mut pair.to_server).unwrap();
    pair.exchange().unwrap();
    pair.transfer(session, b"h", Part::More);
    session
}

fn fill(pair: &mut Pair, session: u16) {
    while pair.client.free(session) > 0 {
        let size = pair.client.free(session).min(900);
        pair.transfer(session, &vec![0; size], Part::More);
    }
}

#[test]
fn streams_whose_readers_stall_leave_room_for_others_within_the_bound() {
    let mut pair = bounded(1 << 20);
    for flow in 0..50 {
        let session = begin(&mut pair, flow);
        let first = pair.client.free(session);
        assert!(first > 0, "nothing is left for stream {flow}");
        fill(&mut pair, session);
    }
    assert!(pair.client.under_way < 4 << 20, "{} bytes are under way", pair.client.under_way);
}

#[test]
fn what_the_peer_says_it_has_taken_may_be_sent_again() {
    let mut pair = bounded(1 << 20);
    let session = begin(&mut pair, 1);
    let whole = pair.client.free(session);
    fill(&mut pair, session);
    let (at, link, ..) = pair.arrived[0];
    let delivery = pair.server.incoming(at, link).unwrap().delivery;
    pair.server.settle(at, delivery, Outcome::Received(100_000), false, &mut pair.to_client);
    pair.exchange().unwrap();
    assert!(pair.client.has_eased() && !pair.client.has_eased());
    assert!(pair.client.free(session) > 90_000);
    fill(&mut pair, session);
    pair.server.settle(at, delivery, Outcome::Accepted, true, &mut pair.to_client);
    pair.exchange().unwrap();
    assert!(pair.client.free(session) >= whole);
}

#[test]
fn streams_that_are_broken_off_leave_nothing_behind() {
    let mut pair = bounded(1 << 20);
    for flow in 0..1000 {
        let session = begin(&mut pair, flow);
        pair.client.abort_stream(session, &mut pair.to_server);
        pair.exchange().unwrap();
    }
    assert_eq!((pair.client.sending.len(), pair.client.under_way), (0, 0));
    assert!(pair.client.sessions.len() < 10 && pair.client.links < 10, "{} sessions", pair.client.sessions.len());
}

proptest! {
    /// A peer that has come as far as open may send anything: it is understood or refused, and its memory is bounded.
    #[test]
    fn anything_after_open_is_taken_or_refused(
        frames in proptest::collection::vec((0u16..4, 0x10u8..0x1a, proptest::collection::vec(any::<u8>(), 0..40)), 0..40),
    ) {
        let mut pair = Pair::new();
        let mut out = Vec::new();
        for (channel, kind, fields) in frames {
            let mut bytes = Vec::new();
            let at = frame::start(&mut bytes, false, channel);
            bytes.extend_from_slice(&[0, 0x53, kind, 0xc0, u8::try_from(fields.len() + 1).unwrap(), 6]);
            bytes.extend_from_slice(&fields);
            frame::finish(&mut bytes, at, 0);
            if pair.server.consume(&bytes, &mut out).is_err() {
                return Ok(());
            }
        }
    }

    /// As above, with frames that are well formed but come in any order, on any channel.
    #[test]
    fn any_order_of_frames_is_taken_or_refused(
        frames in proptest::collection::vec((0u16..4, 0usize..8, 0u32..3, any::<bool>()), 0..60),
    ) {
        let mut pair = Pair::new();
        let mut out = Vec::new();
        for (channel, kind, number, flag) in frames {
            let performative = match kind {
                0 => Performative::Begin(Begin {
                    remote_channel: flag.then_some(number as u16), next_outgoing: number, incoming_window: u32::MAX,
                }),
                1 => Performative::Attach(Attach {
                    name: format!("n{number}"), handle: number, receiver: flag, capability: None, initial_count: u32::MAX,
                }),
                2 => Performative::Flow(Flow {
                    next_incoming: flag.then_some(u32::MAX), incoming_window: u32::MAX, next_outgoing: 0,
                    link: Some((number, u32::MAX, u32::MAX)), echo: flag,
                }),
                3 => Performative::Transfer(Transfer {
                    handle: number, delivery: Some(u32::MAX), settled: flag, more: !flag, aborted: false,
                }),
                4 => Performative::Disposition(Disposition {
                    receiver: flag, first: 0, last: u32::MAX, settled: flag, state: None,
                }),
                5 => Performative::Detach { handle: number, error: None },
                6 => Performative::End { error: None },
                _ => Performative::Close { error: None },
            };
            let mut bytes = Vec::new();
            performative::encode(&mut bytes, channel, &performative);
            if pair.server.consume(&bytes, &mut out).is_err() {
                break;
            }
        }
        let _ = pair.server.interests();
    }
}
