//! Performatives to frames.

use super::{
    ACCEPTED, ATTACH, Attach, BEGIN, CLOSE, Condition, DETACH, DISPOSITION, END, ERROR, FLOW, MODIFIED, OPEN, Open,
    Outcome, Performative, RECEIVED, REJECTED, RELEASED, SOURCE, TARGET, TRANSFER, Transfer,
};
use crate::amqp::codec::{Encoder, Value};
use crate::amqp::frame;

/// Appends a whole frame that has no payload.
pub(crate) fn encode(out: &mut Vec<u8>, channel: u16, performative: &Performative) {
    let at = frame::start(out, false, channel);
    let mut encoder = Encoder::new(out);
    match performative {
        Performative::Open(open) => put_open(&mut encoder, open),
        Performative::Begin(begin) => encoder.described(BEGIN, |list| {
            match begin.remote_channel {
                Some(channel) => list.ushort(channel),
                None => list.null(),
            };
            list.uint(begin.next_outgoing).uint(begin.incoming_window).uint(WIDE).uint(WIDE);
        }),
        Performative::Attach(attach) => put_attach(&mut encoder, attach),
        Performative::Flow(flow) => encoder.described(FLOW, |list| {
            match flow.next_incoming {
                Some(next) => list.uint(next),
                None => list.null(),
            };
            list.uint(flow.incoming_window).uint(flow.next_outgoing).uint(WIDE);
            if let Some((handle, count, credit)) = flow.link {
                list.uint(handle).uint(count).uint(credit);
            }
        }),
        Performative::Transfer(transfer) => put_transfer(&mut encoder, transfer),
        Performative::Disposition(disposition) => encoder.described(DISPOSITION, |list| {
            list.bool(disposition.receiver).uint(disposition.first).uint(disposition.last).bool(disposition.settled);
            put_outcome(list, disposition.state.as_ref());
        }),
        Performative::Detach { handle, error } => encoder.described(DETACH, |list| {
            put_condition(list.uint(*handle).bool(true), error.as_ref());
        }),
        Performative::End { error } => encoder.described(END, |list| put_condition(list, error.as_ref())),
        Performative::Close { error } => encoder.described(CLOSE, |list| put_condition(list, error.as_ref())),
    };
    frame::finish(out, at, 0);
}

/// Windows that this router doesn't use to hold its peer back, as skrouterd says them.
const WIDE: u32 = i32::MAX as u32;

fn put_open<'e, 'a>(encoder: &'e mut Encoder<'a>, open: &Open) -> &'e mut Encoder<'a> {
    let offered: Vec<&str> = open.offered.iter().map(String::as_str).collect();
    encoder.described(OPEN, |list| {
        list.string(&open.container);
        match &open.hostname {
            Some(host) => list.string(host),
            None => list.null(),
        };
        list.uint(open.max_frame).ushort(open.channel_max);
        match open.idle_timeout {
            Some(timeout) => list.uint(timeout),
            None => list.null(),
        };
        list.null().null().symbols(&offered).symbols(&offered);
        let properties = open.properties.iter().map(|(key, value)| (Value::symbol(key), value.clone()));
        list.value(&Value::Map(properties.collect()));
    })
}

/// The termini have no address: messages say where they go.
fn put_attach<'e, 'a>(encoder: &'e mut Encoder<'a>, attach: &Attach) -> &'e mut Encoder<'a> {
    let capability = |list: &mut Encoder<'_>| {
        match &attach.capability {
            Some(capability) => list.symbol(capability),
            None => list.null(),
        };
    };
    encoder.described(ATTACH, |list| {
        list.string(&attach.name).uint(attach.handle).bool(attach.receiver).ubyte(2).ubyte(0);
        list.described(SOURCE, |source| {
            source.null().uint(0).symbol("link-detach").uint(0).bool(false);
            capability(source.null().null().null().null().null());
        });
        list.described(TARGET, |target| {
            capability(target.null().uint(0).symbol("link-detach").uint(0).bool(false).null());
        });
        list.null().null().uint(attach.initial_count).ulong(0);
    })
}

fn put_transfer<'e, 'a>(encoder: &'e mut Encoder<'a>, transfer: &Transfer) -> &'e mut Encoder<'a> {
    encoder.described(TRANSFER, |list| {
        list.uint(transfer.handle);
        match transfer.delivery {
            // The tag is unique among unsettled deliveries of a link, as the delivery's own number is.
            Some(delivery) => list.uint(delivery).binary(&delivery.to_le_bytes()).uint(0),
            None => list.null().null().null(),
        };
        list.bool(transfer.settled).bool(transfer.more);
        if transfer.aborted {
            list.null().null().null().bool(true);
        }
    })
}

/// Appends a transfer's frame header and performative; its payload, of `payload` bytes, follows.
pub(crate) fn encode_transfer(out: &mut Vec<u8>, channel: u16, transfer: &Transfer, payload: usize) {
    let at = frame::start(out, false, channel);
    put_transfer(&mut Encoder::new(out), transfer);
    frame::finish(out, at, payload);
}

fn put_outcome(list: &mut Encoder<'_>, outcome: Option<&Outcome>) {
    match outcome {
        None => list.null(),
        Some(Outcome::Received(bytes)) => list.described(RECEIVED, |state| {
            state.uint(0).ulong(*bytes);
        }),
        Some(Outcome::Accepted) => list.described(ACCEPTED, |_| ()),
        Some(Outcome::Released) => list.described(RELEASED, |_| ()),
        Some(Outcome::Modified) => list.described(MODIFIED, |_| ()),
        Some(Outcome::Rejected(error)) => list.described(REJECTED, |state| put_condition(state, error.as_ref())),
    };
}

fn put_condition(list: &mut Encoder<'_>, error: Option<&Condition>) {
    match error {
        Some(error) => list.described(ERROR, |list| {
            list.symbol(&error.name).string(&error.description);
        }),
        None => list.null(),
    };
}
