//! AMQP 1.0: types, frames, performatives, messages. Bytes in, values out and back; no state.

pub(crate) mod codec;
pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod performative;
