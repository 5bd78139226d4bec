//! The client: one connection to a sandbox's supervisor, calls in turn.

use std::os::fd::{BorrowedFd, OwnedFd};

use knetsim_model::protocol::{Answer, Call, Reply, Request};
use knetsim_model::topology::Topology;
use knetsim_model::{Event, Operation, Owner, inventory::Inventory};
use tokio::net::UnixStream;

use super::wire::{self, WireError};

/// A connection to a supervisor.
pub(crate) struct Client {
    receiver: wire::Receiver,
    sender: wire::Sender,
    last: u64,
}

impl Client {
    /// Agrees on the version over a fresh connection. Within a tokio runtime.
    pub(crate) async fn greet(stream: std::os::unix::net::UnixStream) -> Result<Client, WireError> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let (mut receiver, mut sender) = wire::split(stream);
        sender.send(&wire::hello(), &[]).await?;
        wire::greeted(&mut receiver).await?;
        Ok(Client { receiver, sender, last: 0 })
    }

    /// Over a connection on which the version is agreed on already. Within a tokio runtime.
    pub(crate) fn over(stream: std::os::unix::net::UnixStream) -> Result<Client, WireError> {
        stream.set_nonblocking(true)?;
        let (receiver, sender) = wire::split(UnixStream::from_std(stream)?);
        Ok(Client { receiver, sender, last: 0 })
    }

    /// Sends a request and says under which number it will be answered.
    pub(crate) async fn send(&mut self, request: Request, descriptors: &[BorrowedFd<'_>]) -> Result<u64, WireError> {
        debug_assert_eq!(request.descriptors(), descriptors.len());
        self.last += 1;
        self.sender.send(&Call { id: self.last, request }, descriptors).await?;
        Ok(self.last)
    }

    /// The next answer to any call, with its descriptors. Nothing is lost where the future is dropped.
    pub(crate) async fn receive(&mut self) -> Result<(Answer, Vec<OwnedFd>), WireError> {
        let line = self.receiver.line().await?.ok_or(WireError::Ended)?;
        let answer: Answer = serde_json::from_slice(&line.line)?;
        let descriptors = line.descriptors(answer.reply.descriptors())?;
        Ok((answer, descriptors))
    }

    /// Asks and waits for the one last reply; replies before it go to `each`.
    pub(crate) async fn ask(
        &mut self,
        request: Request,
        mut each: impl FnMut(Reply, Vec<OwnedFd>),
    ) -> anyhow::Result<Reply> {
        let id = self.send(request, &[]).await?;
        loop {
            let (answer, descriptors) = self.receive().await?;
            match answer.reply {
                _ if answer.id != id => {}
                Reply::Failed(failure) => return Err(failure.into()),
                last if last.is_last() => return Ok(last),
                more => each(more, descriptors),
            }
        }
    }

    /// Makes a change in the person's name.
    pub(crate) async fn submit(&mut self, operation: Operation, on_event: impl FnMut(Event)) -> anyhow::Result<()> {
        self.events(Request::Submit { operation, owner: Owner::User }, on_event).await
    }

    /// What applying a topology would do.
    pub(crate) async fn preview(&mut self, topology: Topology, on_event: impl FnMut(Event)) -> anyhow::Result<()> {
        self.events(Request::Preview { topology }, on_event).await
    }

    async fn events(&mut self, request: Request, mut on_event: impl FnMut(Event)) -> anyhow::Result<()> {
        let each = |reply, _| {
            if let Reply::Event(event) = reply {
                on_event(event);
            }
        };
        self.ask(request, each).await.map(drop)
    }

    /// What there is.
    pub(crate) async fn inspect(&mut self) -> anyhow::Result<Inventory> {
        match self.ask(Request::Inspect, |_, _| {}).await? {
            Reply::Inventory(inventory) => Ok(inventory),
            other => Err(WireError::Unexpected(Box::new(other)).into()),
        }
    }
}
