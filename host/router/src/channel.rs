//! The bytes of a connection between routers: a socket, plain or under TLS.
//!
//! What is sent goes out at once as far as the kernel takes it, in one `writev` with what was left before; the rest
//! waits here, and [`Channel::is_blocked`] tells senders to wait too. Nothing is copied on the way out of plain text.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use crate::config::SslProfile;
use crate::tls::{self, TlsError};

/// Buffers that were grown for a burst are given back when little is left in them, but for so many bytes.
const KEEP: usize = 4096;
/// Slices that one `writev` takes.
const MAX_SLICES: usize = 1024;

/// Bytes that wait for their socket.
#[derive(Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    start: usize,
}

impl Backlog {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Move what is left to the front before growing past what has gone.
        if self.start > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn advance(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Gives memory back that isn't used, where it is most of it.
    pub(crate) fn trim(&mut self) {
        if self.bytes.capacity() > KEEP.max(4 * self.len()) {
            self.bytes.drain(..self.start);
            self.start = 0;
            self.bytes.shrink_to_fit();
        }
    }
}

/// Writes what `backlog` and then `parts` have; what doesn't go out is left in `backlog`. Ok(false): the socket is full.
///
/// # Errors
/// The connection is broken.
pub(crate) fn write_all(socket: &mut TcpStream, backlog: &mut Backlog, parts: &[&[u8]]) -> io::Result<bool> {
    let total = backlog.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut done = 0;
    while done < total {
        let mut skip = done;
        let mut slices = Vec::with_capacity((parts.len() + 1).min(MAX_SLICES));
        for part in std::iter::once(&backlog.bytes()).chain(parts) {
            let rest = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            if !rest.is_empty() && slices.len() < MAX_SLICES {
                slices.push(IoSlice::new(rest));
            }
        }
        match socket.write_vectored(&slices) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    let from_backlog = done.min(backlog.len());
    let mut skip = done - from_backlog;
    backlog.advance(from_backlog);
    for part in parts {
        backlog.push(part.get(skip..).unwrap_or_default());
        skip = skip.saturating_sub(part.len());
    }
    Ok(done == total)
}

/// A buffer to read or write into, which is cleared by forgetting: its bytes are set to zero once, not for every read.
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    end: usize,
}

impl Scratch {
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.end).unwrap_or_default()
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.end).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.end = 0;
    }

    /// Room for `count` more bytes; [`Self::grow`] says how many of it were used.
    pub(crate) fn room(&mut self, count: usize) -> &mut [u8] {
        let end = self.end + count;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.end..end).unwrap_or_default()
    }

    pub(crate) fn grow(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.grow(bytes.len());
    }

    /// Forgets the first `count` bytes.
    fn drop_front(&mut self, count: usize) {
        self.bytes.copy_within(count.min(self.end)..self.end, 0);
        self.end = self.end.saturating_sub(count);
    }
}

/// Why a connection's bytes stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// Bytes; `full`: as many as there was room for, so that there may be more.
    Bytes { full: bool },
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

struct Tls {
    session: tls::Session,
    profile: SslProfile,
    /// Wire bytes that aren't a whole record yet.
    wire: Scratch,
    /// Plain text that was sent before the handshake was over.
    early: Vec<u8>,
    /// Gathers plain text to be encrypted.
    gather: Vec<u8>,
    /// The same encrypted.
    sealed: Scratch,
    /// The session has given up: it has nothing more to say.
    failed: bool,
}

/// A socket, and TLS if any.
pub(crate) struct Channel {
    pub(crate) socket: TcpStream,
    tls: Option<Box<Tls>>,
    backlog: Backlog,
    blocked: bool,
}

impl Channel {
    pub(crate) fn new(socket: TcpStream, tls: Option<(tls::Session, SslProfile)>) -> Self {
        let tls = tls.map(|(session, profile)| {
            Box::new(Tls {
                session,
                profile,
                wire: Scratch::default(),
                early: Vec::new(),
                gather: Vec::new(),
                sealed: Scratch::default(),
                failed: false,
            })
        });
        Channel { socket, tls, backlog: Backlog::default(), blocked: false }
    }

    /// Whether the socket has taken all that was sent.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Bytes that the socket hasn't taken yet.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.len() + self.tls.as_ref().map_or(0, |tls| tls.early.len())
    }

    /// Starts TLS: a client's first message.
    pub(crate) fn start(&mut self) -> Result<(), ChannelError> {
        if self.tls.is_some() {
            self.process(&mut Scratch::default())?;
        }
        Ok(())
    }

    /// Appends what has arrived to `into`, at most `limit` bytes off the socket.
    pub(crate) fn read(&mut self, into: &mut Scratch, limit: usize) -> Result<Got, ChannelError> {
        let Some(tls) = &mut self.tls else { return Ok(read(&mut self.socket, into, limit)?) };
        let got = read(&mut self.socket, &mut tls.wire, limit)?;
        let Got::Bytes { .. } = got else { return Ok(got) };
        Ok(if self.process(into)? { Got::End } else { got })
    }

    /// Runs TLS over the wire bytes that are there, and sends what it answers; true: the peer said goodbye.
    fn process(&mut self, into: &mut Scratch) -> Result<bool, ChannelError> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let mut out = Scratch::default();
        let progress = tls.session.receive(tls.wire.filled_mut(), into, &mut out);
        if let Ok(progress) = &progress {
            tls.wire.drop_front(progress.consumed);
            if !tls.early.is_empty() && tls.session.send(tls.wire.filled_mut(), &tls.early, &mut out).unwrap_or(false) {
                tls.early = Vec::new();
            }
        }
        if !out.filled().is_empty() {
            self.blocked = !write_all(&mut self.socket, &mut self.backlog, &[out.filled()])?;
        }
        match progress {
            Ok(progress) => Ok(progress.closed),
            Err(error) => {
                tls.failed = true;
                Err(tls::explain(&error, &tls.profile).into())
            }
        }
    }

    /// Sends `parts`, one after the other.
    pub(crate) fn send(&mut self, parts: &[&[u8]]) -> Result<(), ChannelError> {
        let Some(tls) = &mut self.tls else {
            self.blocked = !write_all(&mut self.socket, &mut self.backlog, parts)?;
            return Ok(());
        };
        if tls.failed {
            return self.flush();
        }
        tls.gather.clear();
        parts.iter().for_each(|part| tls.gather.extend_from_slice(part));
        tls.sealed.clear();
        let sent = if tls.early.is_empty() {
            tls.session.send(tls.wire.filled_mut(), &tls.gather, &mut tls.sealed)
        } else {
            Ok(false)
        };
        if !sent.map_err(|error| tls::explain(&error, &tls.profile))? {
            tls.early.extend_from_slice(&tls.gather);
        }
        self.blocked = !write_all(&mut self.socket, &mut self.backlog, &[tls.sealed.filled()])?;
        Ok(())
    }

    /// Goes on with what waits.
    pub(crate) fn flush(&mut self) -> Result<(), ChannelError> {
        self.blocked = !write_all(&mut self.socket, &mut self.backlog, &[])?;
        Ok(())
    }

    /// Gives memory back that isn't used.
    pub(crate) fn trim(&mut self) {
        self.backlog.trim();
        if let Some(tls) = &mut self.tls {
            (tls.gather, tls.sealed) = (Vec::new(), Scratch::default());
        }
    }

    /// Says that nothing will be sent any more. What the peer still has under way is not answered by a reset, so that
    /// it gets to read a last word.
    pub(crate) fn finish(&mut self) {
        let _ = self.flush();
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

/// Appends what `socket` has to `into`.
pub(crate) fn read(socket: &mut TcpStream, into: &mut Scratch, limit: usize) -> io::Result<Got> {
    loop {
        return match socket.read(into.room(limit)) {
            Ok(0) => Ok(Got::End),
            Ok(count) => {
                into.grow(count);
                Ok(Got::Bytes { full: count == limit })
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Got::Nothing),
            Err(error) => Err(error),
        };
    }
}
