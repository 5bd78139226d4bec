//! Changes in the namespace of the calling thread, without a runtime: for [`NetNs::run`](crate::NetNs::run),
//! where a thread that is there anyway sends them and waits.

use netlink_packet_core::NetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::{BATCH, Message, Request, confirm, options};
use crate::error::KernelError;

/// As [`Netlink::apply`](super::Netlink::apply), in the calling thread's namespace. Blocks until it is done.
pub fn apply_here(requests: &[Request]) -> Result<(), KernelError> {
    let socket = Socket::new(NETLINK_ROUTE).and_then(|socket| {
        options(&socket)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(socket)
    });
    let socket = socket.map_err(KernelError::doing("open rtnetlink"))?;
    for batch in requests.chunks(BATCH) {
        let answers = exchange(&socket, batch)?;
        confirm(batch, &answers)?;
    }
    Ok(())
}

fn exchange(socket: &Socket, batch: &[Request]) -> Result<Vec<Message>, KernelError> {
    let mut datagram = Vec::new();
    for (number, request) in batch.iter().enumerate() {
        let mut message = request.to_message();
        message.header.sequence_number = number as u32;
        message.finalize();
        let at = datagram.len();
        datagram.resize(at + message.buffer_len(), 0);
        message.serialize(&mut datagram[at..]);
    }
    socket.send(&datagram, 0).map_err(KernelError::doing("send to rtnetlink"))?;
    let mut answers = Vec::new();
    while answers.len() < batch.len() {
        let (bytes, _) = socket.recv_from_full().map_err(KernelError::doing("receive from rtnetlink"))?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let answer = NetlinkMessage::deserialize(rest);
            let answer: Message = answer.map_err(|error| KernelError::answer("receive from rtnetlink", error))?;
            rest = rest.get(answer.header.length as usize..).unwrap_or_default();
            answers.push(answer);
        }
    }
    Ok(answers)
}
