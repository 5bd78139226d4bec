//! Joins this program's standard streams to a program inside, over pipes or a pseudo-terminal.
//!
//! Invariant: no descriptor of this program's own ever goes inside; what goes is the far end of a
//! pipe made here. Output that was written before the program ended is printed before this returns.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use knetsim_model::protocol::{Reply, Request};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::control::client::Client;
use crate::control::wire::WireError;
use crate::signals::Signals;
use crate::stdin::Input;
use crate::{output, progress, terminal};

/// Sends `request` with `before` and three pipes beside it, relays until it has ended, and returns its status.
/// Other replies go to `each`.
pub(crate) async fn run(
    client: &mut Client,
    request: Request,
    before: &[BorrowedFd<'_>],
    interactive: bool,
    each: impl FnMut(Reply, Vec<OwnedFd>),
) -> anyhow::Result<u8> {
    let (stdin, to_stdin) = std::io::pipe().context("making a pipe")?;
    let (from_stdout, stdout) = std::io::pipe().context("making a pipe")?;
    let (from_stderr, stderr) = std::io::pipe().context("making a pipe")?;
    let beside: Vec<_> = before.iter().copied().chain([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]).collect();
    let signals = Signals::new()?;
    let call = client.send(request, &beside).await?;
    drop((stdin, stdout, stderr));
    match interactive {
        // Ends with this program: reading a terminal can't be called off.
        true => drop(std::thread::spawn(move || copy_stdin(to_stdin))),
        false => drop(to_stdin),
    }
    let (ended, end) = watch::channel(false);
    let stdout = pour(from_stdout.into(), tokio::io::stdout(), end.clone())?;
    let stderr = pour(from_stderr.into(), tokio::io::stderr(), end)?;
    let status = wait(client, call, signals, each).await;
    ended.send_replace(true);
    let (stdout, stderr) = (stdout.await, stderr.await);
    let status = status?;
    written(stdout, "standard output")?;
    written(stderr, "standard error")?;
    Ok(status)
}

/// What could not be written is an error. That nobody reads any more is none: the program has heard of it.
fn written(poured: Result<io::Result<()>, JoinError>, what: &str) -> anyhow::Result<()> {
    match poured? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context(format!("writing to {what}")),
        _ => Ok(()),
    }
}

/// The same over a terminal made inside. Where `interactive`, keys go to it raw.
pub(crate) async fn run_in_terminal(client: &mut Client, request: Request, interactive: bool) -> anyhow::Result<u8> {
    let signals = Signals::new()?;
    let call = client.send(request, &[]).await?;
    let (answer, mut descriptors) = client.receive().await?;
    let master = match (answer.reply, descriptors.pop()) {
        (Reply::Terminal, Some(master)) => master,
        (Reply::Failed(failure), _) => return Err(failure.into()),
        (other, _) => return Err(WireError::Unexpected(Box::new(other)).into()),
    };
    let resizing = follow_size(master.try_clone()?)?;
    let (ended, end) = watch::channel(false);
    let _raw = interactive.then(terminal::Raw::enter).transpose()?;
    let typing = interactive.then(|| type_into(master.try_clone()?)).transpose()?;
    let output = pour(master, tokio::io::stdout(), end)?;
    let status = wait(client, call, signals, |_, _| {}).await;
    ended.send_replace(true);
    // What it wrote last is printed before the terminal is given back.
    let _ = output.await;
    resizing.abort();
    if let Some(typing) = typing {
        typing.abort();
        // From here on, no key goes inside.
        let _ = typing.await;
    }
    if status.is_err() {
        // The program's last line has no end.
        output::say(format_args!(""));
    }
    status
}

/// Waits for the call's end and passes on signals meanwhile.
async fn wait(
    client: &mut Client,
    call: u64,
    mut signals: Signals,
    mut each: impl FnMut(Reply, Vec<OwnedFd>),
) -> anyhow::Result<u8> {
    loop {
        let (answer, descriptors) = tokio::select! {
            received = client.receive() => received?,
            signal = signals.next() => {
                client.send(Request::Signal { call, signal }, &[]).await?;
                continue;
            }
        };
        match answer.reply {
            // An answer to a signal: it came too late, which does not matter.
            _ if answer.id != call => {}
            Reply::Exited { status } => return Ok(u8::try_from(status).unwrap_or(u8::MAX)),
            Reply::Failed(failure) => return Err(failure.into()),
            Reply::Event(event) => progress::report(&event),
            other => each(other, descriptors),
        }
    }
}

fn copy_stdin(mut to: std::io::PipeWriter) {
    // The program may close its input at any time; that ends the copy and is no error.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut to);
}

/// Copies what comes out of a pipe or a terminal's master to a stream of this program's, until everybody has
/// closed the other end, or until `end` says that the program has ended and all is read: what it left running
/// in the background may hold the other end open for ever.
fn pour(
    from: OwnedFd,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    mut end: watch::Receiver<bool>,
) -> anyhow::Result<JoinHandle<io::Result<()>>> {
    set_nonblocking(&from)?;
    // It need not be a pipe: whatever can be polled and read will do.
    let from = pipe::Receiver::from_owned_fd_unchecked(from).context("watching a pipe")?;
    Ok(tokio::spawn(async move {
        let mut chunk = vec![0; 64 << 10];
        while !*end.borrow() {
            match from.try_read(&mut chunk) {
                Ok(read @ 1..) => {
                    // Nobody reads any more: closing the pipe tells the program by SIGPIPE, as in any pipeline.
                    write(&mut to, &chunk[..read]).await?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => tokio::select! {
                    ready = from.readable() => if ready.is_err() { return Ok(()) },
                    _ = end.changed() => {}
                },
                // EIO is how a terminal's master says that nobody has the other end open.
                Ok(0) | Err(_) => return Ok(()),
            }
        }
        // What there was when the program ended, as the kernel knows it: the runtime may not have been told yet,
        // and more may come for ever.
        let mut left = usize::try_from(rustix::io::ioctl_fionread(&from).unwrap_or(0)).unwrap_or(0);
        while let Ok(read @ 1..) = rustix::io::read(&from, &mut chunk[..]) {
            left = left.saturating_sub(read);
            write(&mut to, &chunk[..read]).await?;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }))
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Copies keys to the terminal inside.
fn type_into(master: OwnedFd) -> anyhow::Result<JoinHandle<()>> {
    set_nonblocking(&master)?;
    let mut master = pipe::Sender::from_owned_fd_unchecked(master).context("watching the terminal inside")?;
    let input = Input::watch().context("watching the terminal")?;
    Ok(tokio::spawn(async move {
        while let Ok(keys) = input.read().await {
            if keys.is_empty() || master.write_all(&keys).await.is_err() {
                return;
            }
        }
    }))
}

fn set_nonblocking(descriptor: &OwnedFd) -> anyhow::Result<()> {
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    Ok(rustix::fs::fcntl_setfl(descriptor, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Gives the terminal inside the size of this one, whenever that changes.
fn follow_size(master: OwnedFd) -> anyhow::Result<JoinHandle<()>> {
    let mut changes = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())?;
    Ok(tokio::spawn(async move {
        while changes.recv().await.is_some() {
            let (ws_row, ws_col) = terminal::size();
            let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal that has gone needs no size.
            let _ = rustix::termios::tcsetwinsize(&master, size);
        }
    }))
}
