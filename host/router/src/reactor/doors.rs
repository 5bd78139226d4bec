//! How connections between routers come to be: accepted, or dialled, and dialled again.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry};

use super::peers::{Lost, Origin};
use super::{Cause, Core, Kind, Task, token};
use crate::arena::Id;
use crate::channel::Channel;
use crate::config::{Config, Connector, Listener, Peering};
use crate::endpoint::Settings;
use crate::tls;

/// Between attempts to connect.
const RETRY: Duration = Duration::from_secs(1);
/// Connections that may be open at once; a peer has one, with skrouterd some more for data.
const MAX_PEERS: usize = 1024;
/// Connections that are accepted before others have their turn: a port under attack doesn't stop the others.
pub(super) const ACCEPTED: usize = 64;

/// Where routers connect to.
pub(super) struct Door {
    pub(super) config: Listener,
    socket: Option<TcpListener>,
    pub(super) problem: Option<String>,
    /// Accepting failed: it is tried again with each tick.
    starved: bool,
}

/// A router to connect to.
pub(super) struct Dialer {
    pub(super) config: Connector,
    pub(super) peer: Option<Id>,
    retry_at: Instant,
    /// Addresses that haven't been tried yet.
    untried: Vec<SocketAddr>,
    /// Why there is no connection; None before the first attempt has ended.
    pub(super) problem: Option<(Cause, String)>,
}

impl Core {
    pub(super) fn apply_peers(&mut self, config: &Config) {
        for id in self.doors.ids() {
            if self.doors.get(id).is_some_and(|door| !config.listeners.contains(&door.config)) {
                self.doors.remove(id);
                // What the listener says (cost, certificates) holds for connections that it accepted.
                let of = |(_, peer): &(Id, &super::Peer)| peer.origin == Origin::Door(id);
                let accepted: Vec<Id> = self.peers.iter().filter(of).map(|(peer, _)| peer).collect();
                accepted.into_iter().for_each(|peer| self.lose(peer, &Lost::Withdrawn));
            }
        }
        for id in self.dialers.ids() {
            if self.dialers.get(id).is_some_and(|dialer| !config.connectors.contains(&dialer.config))
                && let Some(dialer) = self.dialers.remove(id)
                && let Some(peer) = dialer.peer
            {
                self.lose(peer, &Lost::Withdrawn);
            }
        }
        for listener in &config.listeners {
            if !self.doors.iter().any(|(_, door)| door.config == *listener) {
                self.doors.insert(Door { config: listener.clone(), socket: None, problem: None, starved: false });
            }
        }
        for connector in &config.connectors {
            if !self.dialers.iter().any(|(_, dialer)| dialer.config == *connector) {
                let (config, retry_at) = (connector.clone(), self.now);
                self.dialers.insert(Dialer { config, peer: None, retry_at, untried: Vec::new(), problem: None });
            }
        }
        self.open_doors();
        self.dial();
    }

    pub(super) fn open_doors(&mut self) {
        for id in self.doors.ids() {
            let Some(door) = self.doors.get_mut(id).filter(|door| door.socket.is_none()) else { continue };
            let peering = &door.config.peering;
            match listen(&self.registry, (&peering.host, peering.port), Kind::Door, id) {
                Ok(socket) => {
                    tracing::info!(listener = peering.name, "routers may connect");
                    (door.socket, door.problem) = (Some(socket), None);
                }
                Err(error) => {
                    let problem = format!("listen on {}:{}: {error}", peering.host, peering.port);
                    if door.problem.replace(problem.clone()).is_none() {
                        tracing::error!(listener = peering.name, "{problem}");
                    }
                }
            }
        }
    }

    pub(super) fn accept_peers(&mut self, id: Id) {
        // What is left after so many is taken in the next round.
        for _ in 0..ACCEPTED {
            let Some(door) = self.doors.get_mut(id) else { return };
            let Some(socket) = &door.socket else { return };
            let accepted = accept(socket, &mut door.starved, &door.config.peering.name);
            let Some((socket, from)) = accepted else { return };
            let config = door.config.clone();
            if self.peers.ids().len() >= MAX_PEERS {
                tracing::warn!(%from, "too many connections");
                continue;
            }
            if let Err(error) = self.accept_peer(id, socket, from, &config) {
                tracing::warn!(%from, "{error}");
            }
        }
        self.ready.push_back(Task::AcceptPeers(id));
    }

    /// Accepts again where that failed.
    pub(super) fn tick_doors(&mut self) {
        for id in self.doors.ids() {
            if self.doors.get(id).is_some_and(|door| door.starved) {
                self.accept_peers(id);
            }
        }
    }

    fn accept_peer(&mut self, door: Id, socket: TcpStream, from: SocketAddr, config: &Listener) -> Result<(), Lost> {
        let peering = &config.peering;
        let only_external = peering.mechanisms == ["EXTERNAL"];
        let authenticate = config.authenticate_peer || only_external;
        let tls = match &peering.tls {
            Some(profile) => Some((tls::Session::server(profile, authenticate)?, profile.clone())),
            None => None,
        };
        let settings = self.settings(peering, None, tls.is_some(), authenticate);
        let name = format!("{from}");
        self.add_peer(name, Channel::new(socket, tls), settings, peering, Origin::Door(door))?;
        Ok(())
    }

    fn settings(&mut self, peering: &Peering, hostname: Option<String>, tls: bool, authenticate: bool) -> Settings {
        let known: &[&str] = match (tls, authenticate) {
            (true, true) => &["EXTERNAL"],
            (true, false) => &["EXTERNAL", "ANONYMOUS"],
            (false, _) => &["ANONYMOUS"],
        };
        let allowed = |name: &&&str| peering.mechanisms.is_empty() || peering.mechanisms.iter().any(|it| it == **name);
        Settings {
            server: hostname.is_none(),
            container: self.config.id.clone(),
            hostname,
            mechanisms: known.iter().filter(allowed).map(|name| (*name).to_owned()).collect(),
            sasl_optional: !authenticate,
            max_frame: peering.max_frame,
            session_frames: peering.session_frames,
            idle_timeout: peering.idle_timeout,
            cost: peering.cost,
            number: self.count() as i64,
        }
    }

    /// Tries those whose time has come.
    pub(super) fn dial(&mut self) {
        for id in self.dialers.ids() {
            let Some(dialer) = self.dialers.get_mut(id) else { continue };
            if dialer.peer.is_some() || self.now < dialer.retry_at {
                continue;
            }
            dialer.retry_at = self.now + RETRY;
            let peering = &dialer.config.peering;
            if dialer.untried.is_empty() {
                match self.resolver.look_up(&peering.host, peering.port, self.now) {
                    Ok(addresses) => dialer.untried = addresses,
                    Err(problem) => {
                        let asking = self.resolver.is_asking(&peering.host);
                        let cause = if asking { Cause::Connecting } else { Cause::Unreachable };
                        dialer.problem = Some((cause, problem));
                    }
                }
            }
            if dialer.untried.is_empty() {
                continue;
            }
            let (address, config) = (dialer.untried.remove(0), dialer.config.clone());
            if let Err(lost) = self.dial_address(id, address, &config) {
                self.dial_failed(id, &lost);
            }
        }
    }

    /// The addresses of a host are known: who waited for them may go on.
    pub(super) fn resolved(&mut self, host: &str) {
        for id in self.dialers.ids() {
            if let Some(dialer) = self.dialers.get_mut(id).filter(|dialer| dialer.config.peering.host == host) {
                dialer.retry_at = self.now;
            }
        }
        self.dial();
    }

    fn dial_address(&mut self, dialer: Id, address: SocketAddr, config: &Connector) -> Result<(), Lost> {
        let peering = &config.peering;
        let tls = match &peering.tls {
            Some(profile) => {
                let session = tls::Session::client(profile, &peering.host, config.verify_hostname)?;
                Some((session, profile.clone()))
            }
            None => None,
        };
        let socket = TcpStream::connect(address).map_err(|source| Lost::Connect { address, source })?;
        let shows_certificate = peering.tls.as_ref().is_some_and(|profile| profile.certificate.is_some());
        let settings = self.settings(peering, Some(peering.host.clone()), shows_certificate, false);
        let channel = Channel::new(socket, tls);
        let peer = self.add_peer(peering.name.clone(), channel, settings, peering, Origin::Dialer(dialer))?;
        if let Some(dialer) = self.dialers.get_mut(dialer) {
            dialer.peer = Some(peer);
        }
        Ok(())
    }

    pub(super) fn dial_failed(&mut self, id: Id, lost: &Lost) {
        let Some(dialer) = self.dialers.get_mut(id) else { return };
        dialer.peer = None;
        // Another address of the same host is tried at once.
        dialer.retry_at = if dialer.untried.is_empty() { self.now + RETRY } else { self.now };
        let problem = (lost.cause(), lost.to_string());
        if dialer.problem.as_ref() != Some(&problem) {
            tracing::warn!(connector = dialer.config.peering.name, "{}", problem.1);
            dialer.problem = Some(problem);
        }
    }
}

/// Takes a connection off a listening socket; None where there is none now.
///
/// A socket tells once that connections wait. Where one can't be accepted, for want of file descriptors above all,
/// `starved` has it tried again.
pub(super) fn accept(socket: &TcpListener, starved: &mut bool, listener: &str) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let error = match socket.accept() {
            Ok(accepted) => {
                *starved = false;
                return Some(accepted);
            }
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::WouldBlock => *starved = false,
            // This one connection is gone.
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
            _ if !std::mem::replace(starved, true) => tracing::warn!(listener, "accept a connection: {error}"),
            _ => {}
        }
        return None;
    }
}

/// A listening socket; an empty host is every address.
pub(super) fn listen(registry: &Registry, (host, port): (&str, u16), kind: Kind, id: Id) -> io::Result<TcpListener> {
    let bind = |address: SocketAddr| TcpListener::bind(address);
    let mut socket = if host.is_empty() {
        bind((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|_| bind((Ipv4Addr::UNSPECIFIED, port).into()))?
    } else {
        // An own address is an address, or a name in the hosts file: nothing that takes time.
        let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(host, port))?;
        let bound = found.into_iter().find_map(|address| bind(address).map_err(|error| last = error).ok());
        bound.ok_or(last)?
    };
    // As many may wait to be accepted as the system allows: by itself the library has it 128.
    rustix::net::listen(&socket, i32::MAX)?;
    registry.register(&mut socket, token(kind, id), Interest::READABLE)?;
    Ok(socket)
}
