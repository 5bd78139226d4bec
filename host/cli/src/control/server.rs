//! The server: takes connections on the listener, reads calls, answers them in any order.
//!
//! Whatever a client sends costs at most its own connection. When a connection ends, the calls that
//! still run are told ([`Answers::gone`]) and decide themselves: a command ends, a change goes on.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use knetsim_model::protocol::{Answer, Call, Reply, Request};
use knetsim_model::{Code, Failure};
use serde::Deserialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, oneshot};

use super::wire::{self, WireError};

/// How many calls of one connection may run at once.
const MAX_CALLS: usize = 64;
/// How many answers may wait for a client to read them.
const MAX_ANSWERS: usize = 256;

/// What answers the calls; [`Request::Signal`] never gets to it.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one call: any number of replies through its [`Answers`], the last one as the result.
    fn call(&self, call: Incoming) -> impl Future<Output = Result<Reply, Failure>> + Send;
}

/// A call with what came beside it.
pub(crate) struct Incoming {
    /// What is asked.
    pub(crate) request: Request,
    /// As many as [`Request::descriptors`] says.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Where replies before the last go.
    pub(crate) answers: Answers,
    /// Signals that the client passes on to what the call started.
    pub(crate) signals: mpsc::Receiver<i32>,
}

/// The way back to the client of one call.
#[derive(Clone)]
pub(crate) struct Answers {
    id: u64,
    queue: mpsc::Sender<Outgoing>,
}

struct Outgoing {
    answer: Answer,
    descriptors: Vec<OwnedFd>,
    /// Dropped with the rest once this is written, or never will be.
    _written: Option<oneshot::Sender<()>>,
}

impl Answers {
    /// Sends a reply; dropped where the client is gone, waits where it reads slowly.
    pub(crate) async fn send(&self, reply: Reply, descriptors: Vec<OwnedFd>) {
        self.queue_up(reply, descriptors, None).await;
    }

    /// As [`Answers::send`], and waits until it is written: what is beside it is closed here then.
    pub(crate) async fn deliver(&self, reply: Reply, descriptors: Vec<OwnedFd>) {
        let (written, done) = oneshot::channel();
        self.queue_up(reply, descriptors, Some(written)).await;
        // Nothing is ever sent: the other end is dropped when it is written, or never will be.
        let _ = done.await;
    }

    /// Returns when the client's connection has ended.
    pub(crate) async fn gone(&self) {
        self.queue.closed().await;
    }

    async fn queue_up(&self, reply: Reply, descriptors: Vec<OwnedFd>, written: Option<oneshot::Sender<()>>) {
        let outgoing = Outgoing { answer: Answer { id: self.id, reply }, descriptors, _written: written };
        // The client may be gone: then there is nobody to tell.
        let _ = self.queue.send(outgoing).await;
    }
}

/// Serves until a client's [`Request::Down`] was carried out and answered.
pub(crate) async fn serve(listener: UnixListener, service: Arc<impl Service>) {
    let ended = Arc::new(Notify::new());
    loop {
        tokio::select! {
            () = ended.notified() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (service, ended) = (service.clone(), ended.clone());
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, service, ended).await {
                            tracing::debug!("a client's connection ended: {error}");
                        }
                    });
                }
                // No more descriptors: those who are connected will free some.
                Err(error) => {
                    tracing::warn!("control socket: accept: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
    }
}

/// Greets one client and takes its calls until it goes.
async fn converse(stream: UnixStream, service: Arc<impl Service>, ended: Arc<Notify>) -> Result<(), WireError> {
    let (mut receiver, mut sender) = wire::split(stream);
    sender.send(&wire::hello(), &[]).await?;
    let inside = wire::greeted(&mut receiver).await?.inside;
    let (queue, outgoing) = mpsc::channel(MAX_ANSWERS);
    let writer = tokio::spawn(write(sender, outgoing));
    let result = take_calls(receiver, inside, service, queue, ended).await;
    writer.abort();
    result
}

async fn write(mut sender: wire::Sender, mut outgoing: mpsc::Receiver<Outgoing>) -> Result<(), WireError> {
    while let Some(next) = outgoing.recv().await {
        let beside: Vec<_> = next.descriptors.iter().map(AsFd::as_fd).collect();
        sender.send(&next.answer, &beside).await?;
    }
    Ok(())
}

async fn take_calls(
    mut receiver: wire::Receiver,
    inside: bool,
    service: Arc<impl Service>,
    queue: mpsc::Sender<Outgoing>,
    ended: Arc<Notify>,
) -> Result<(), WireError> {
    let mut running: HashMap<u64, mpsc::Sender<i32>> = HashMap::new();
    while let Some(line) = receiver.line().await? {
        let call = match parse(&line.line) {
            Ok(call) => call,
            Err((id, failure)) => {
                Answers { id, queue: queue.clone() }.send(Reply::Failed(failure), vec![]).await;
                continue;
            }
        };
        let descriptors = line.descriptors(call.request.descriptors())?;
        let answers = Answers { id: call.id, queue: queue.clone() };
        if inside && !call.request.serves_the_inside() {
            let message = "this can't be asked from within the sandbox: give the command in a terminal outside";
            answers.send(Reply::Failed(Failure::new(Code::Denied, message.to_owned())), vec![]).await;
            continue;
        }
        running.retain(|_, signals| !signals.is_closed());
        if let Request::Signal { call, signal } = call.request {
            let sent = running.get(&call).is_some_and(|signals| signals.try_send(signal).is_ok());
            let gone = || Reply::Failed(Failure::not_found(format!("call {call} takes no signal: it has ended")));
            answers.send(if sent { Reply::Done } else { gone() }, vec![]).await;
            continue;
        }
        if running.contains_key(&call.id) || running.len() >= MAX_CALLS {
            let message = format!("call {}: its number is in use, or {MAX_CALLS} calls run already", call.id);
            answers.send(Reply::Failed(Failure::new(Code::Limit, message)), vec![]).await;
            continue;
        }
        let (signals, received) = mpsc::channel(16);
        running.insert(call.id, signals);
        let call = Incoming { request: call.request, descriptors, answers, signals: received };
        tokio::spawn(answer(call, service.clone(), ended.clone()));
    }
    Ok(())
}

/// Runs one call to its end, a panic included, and sends its last reply.
async fn answer(call: Incoming, service: Arc<impl Service>, ended: Arc<Notify>) {
    let answers = call.answers.clone();
    let down = call.request == Request::Down;
    let reply = match tokio::spawn(async move { service.call(call).await }).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(failure)) => Reply::Failed(failure),
        Err(error) => Reply::Failed(Failure::failed("the supervisor", &error)),
    };
    if down && reply == Reply::Done {
        let (written, answered) = oneshot::channel();
        answers.queue_up(reply, vec![], Some(written)).await;
        // An error here says that the client has gone: the sandbox ends all the same.
        let _ = answered.await;
        ended.notify_one();
    } else {
        answers.send(reply, vec![]).await;
    }
}

/// A line as a call, or which call it was meant to be and what is wrong with it.
fn parse(line: &[u8]) -> Result<Call, (u64, Failure)> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u64,
    }
    serde_json::from_slice(line).map_err(|error| {
        let id = serde_json::from_slice(line).map_or(0, |OnlyId { id }| id);
        (id, Failure::invalid(format!("not a call of this protocol: {error}")))
    })
}

#[cfg(test)]
mod tests;
