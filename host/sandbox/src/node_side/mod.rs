//! The node side's init: process 1 of the second level. It makes every network namespace, so that the second
//! level owns them, starts every process, and reaps.
//!
//! Invariant: nothing that runs on the node side can harm it. It has a mount namespace of its own, so nobody
//! can change its paths; it is not dumpable, so nobody can trace it or look into it; it has no signal handlers,
//! so the kernel keeps signals from it; it never waits for another process but the supervisor.

mod pause;
mod start;

pub(crate) use start::COMMAND_NICE;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use knetsim_kernel::limits::{self, OpenFiles, Resource};
use knetsim_kernel::mounts::{self, Attributes, INERT, Tree};
use knetsim_kernel::namespaces::{Spaces, become_root, enter, enter_new, fork, loopback_up, open_of};
use knetsim_kernel::seccomp::Filter;
use knetsim_kernel::title::Title;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::CWD;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::error::{Result, SandboxError, Told, step};
use crate::first::Begin;
use crate::options::Limits;
use crate::process::{close_all_but, null_streams, run_to_end};
use crate::root::{masked, show_own_devices};
use crate::spawn::Profile;
use crate::wire::{self, Answer, Call, MAX_PACKET, Message, Request};

/// The node side as its init holds it.
pub(crate) struct NodeSide {
    supervisor: OwnedFd,
    children: SignalFd,
    title: Title,
    plain: Filter,
    by_hand: Filter,
    limits: Limits,
    /// What programs get; this process itself holds three files for each node.
    open_files: OpenFiles,
    /// Its own namespaces, where it comes back to.
    own: Place,
    /// The node side's base: a mount namespace for the learner, all else as `own`.
    base: Place,
    nodes: BTreeMap<String, Place>,
    processes: BTreeMap<i32, Process>,
}

/// The namespaces of a node, and the process that shows them in `ps` and `lsns`.
struct Place {
    net: OwnedFd,
    mnt: OwnedFd,
    uts: OwnedFd,
    pause: Option<i32>,
}

/// A process that was started here and has not ended.
struct Process {
    /// The call that asked for it.
    call: u64,
    kind: Kind,
    /// While it begins: where it says how that went, and what the answer will bear.
    begins: Option<(File, Option<OwnedFd>)>,
}

enum Kind {
    /// Of that node.
    Pause(String),
    Command,
    Daemon,
}

impl Place {
    /// The namespaces of a process, by its folder in /proc.
    fn of(process: &str) -> Result<Place> {
        let proc = mounts::open_place(Path::new("/proc"))?;
        let open = |kind| open_of(&proc, process, kind);
        Ok(Place { net: open("net")?, mnt: open("mnt")?, uts: open("uts")?, pause: process.parse().ok() })
    }
}

impl NodeSide {
    /// Is the second level's process 1.
    pub(crate) fn run(one_id: bool, limits: &Limits, first: OwnedFd, supervisor: OwnedFd) -> ! {
        run_to_end(|| {
            let up = NodeSide::bring_up(one_id, limits, &first, supervisor);
            let (told, up) = match up {
                Ok(up) => (Ok(()), Some(up)),
                Err(error) => (Err(Told::from(error)), None),
            };
            let told = wire::send(&first, &Begin::Up(told), &[]);
            drop(first);
            match (told, up) {
                // Its end is the end of the node side, whatever the reason; the supervisor says so.
                (Ok(()), Some(mut up)) => up.serve().map_or(1, |()| 0),
                _ => 1,
            }
        })
    }

    fn bring_up(one_id: bool, limits: &Limits, first: &OwnedFd, supervisor: OwnedFd) -> Result<NodeSide> {
        close_all_but(&[first.as_raw_fd(), supervisor.as_raw_fd()])?;
        enter_new(Spaces::CLONE_NEWNS)?;
        let proc =
            Tree::new("proc", &[], INERT | Attributes::MOUNT_ATTR_NOEXEC).map_err(|error| masked("proc", error))?;
        // The first level's proc must not lie below.
        mounts::detach(Path::new("/proc"))?;
        proc.attach(CWD, Path::new("/proc"))?;
        // The namespace that is made now keeps it as a limit on all its processes.
        limits::set(Resource::Nproc, limits.processes)?;
        enter_new(
            Spaces::CLONE_NEWUSER
                | Spaces::CLONE_NEWNS
                | Spaces::CLONE_NEWNET
                | Spaces::CLONE_NEWUTS
                | Spaces::CLONE_NEWIPC,
        )?;
        set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(step(|| "becoming dumpable"))?;
        let asking = || "asking for id maps";
        wire::send(first, &Begin::Unmapped, &[]).map_err(step(asking))?;
        wire::receive::<()>(first, &mut [0; 64]).map_err(step(asking))?;
        become_root(!one_id)?;
        show_own_devices()?;
        nix::unistd::sethostname("base").map_err(step(|| "naming the node side"))?;
        loopback_up()?;
        let title = Title::find()?;
        title.replace("knetsim: init of the node side", c"init")?;
        null_streams(false)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(step(|| "blocking SIGCHLD"))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = SignalFd::with_flags(&mask, flags).map_err(step(|| "making a signalfd"))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step(|| "hiding the node side's init"))?;
        let mut side = NodeSide {
            supervisor,
            children,
            title,
            plain: Filter::new(false, one_id)?,
            by_hand: Filter::new(true, one_id)?,
            limits: limits.clone(),
            open_files: limits::raise_open_files()?,
            own: Place::of("self")?,
            base: Place::of("self")?,
            nodes: BTreeMap::new(),
            processes: BTreeMap::new(),
        };
        side.base.mnt = side.copy_of_mounts()?;
        let hello = Message::Hello;
        let proc = mounts::open_place(Path::new("/proc"))?;
        wire::send(&side.supervisor, &hello, &[side.own.net.as_fd(), proc.as_fd()]).map_err(step(|| "greeting"))?;
        Ok(side)
    }

    /// A mount namespace with what is mounted here now.
    fn copy_of_mounts(&self) -> Result<OwnedFd> {
        enter_new(Spaces::CLONE_NEWNS)?;
        let copy = Place::of("self")?.mnt;
        enter(&self.own.mnt, Spaces::CLONE_NEWNS)?;
        Ok(copy)
    }

    /// Answers requests until the supervisor is gone.
    fn serve(&mut self) -> Result<()> {
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let ready = self.wait()?;
            for pid in ready.begun {
                self.finish_begin(pid)?;
            }
            if ready.children {
                while self.children.read_signal().map_err(step(|| "reading signals"))?.is_some() {}
                self.reap()?;
            }
            if ready.supervisor {
                let received = wire::receive::<Call>(&self.supervisor, &mut buffer);
                match received.map_err(step(|| "listening to the supervisor"))? {
                    Some((call, Ok(fds))) => self.answer(call, fds)?,
                    Some((call, Err(error))) => self.say(call.id, Err(step(|| call.request.doing())(error)), &[])?,
                    None => return Ok(()),
                }
            }
        }
    }

    fn wait(&self) -> Result<Ready> {
        let begins = || self.processes.iter().filter_map(|(pid, process)| Some((*pid, &process.begins.as_ref()?.0)));
        let mut events = vec![PollFd::new(&self.supervisor, PollFlags::IN), PollFd::new(&self.children, PollFlags::IN)];
        events.extend(begins().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut events, None)).map_err(step(|| "waiting for requests"))?;
        let happened = |event: &PollFd<'_>| !event.revents().is_empty();
        let begun = begins().zip(&events[2..]).filter(|(_, event)| happened(event)).map(|((pid, _), _)| pid).collect();
        Ok(Ready { supervisor: happened(&events[0]), children: happened(&events[1]), begun })
    }

    /// Does what was asked. An error is one that ends the node side.
    fn answer(&mut self, Call { id, request }: Call, fds: Vec<OwnedFd>) -> Result<()> {
        if fds.len() != request.descriptors() {
            let words = format!("{}: {} descriptors came beside it", request.doing(), fds.len());
            return self.say(id, Err(SandboxError::Invalid(words)), &[]);
        }
        let done = match request {
            Request::CreateNode { name, etcd } => match self.create_node(id, name, etcd) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            Request::Spawn(request) => match self.spawn(id, request, fds.into_iter()) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            Request::DeleteNode { name } => self.delete_node(&name).map(|()| None),
            Request::CreateNetns { named } => self.create_netns(named).map(Some),
            Request::Detach { node, name } => self.inside(&node, || pause::detach(&name)).map(|()| None),
            Request::Signal { process, signal } => self.signal(process, signal).map(|()| None),
        };
        let (done, fd) = match done {
            Ok(fd) => (Ok(Answer::Done), fd),
            Err(error) => (Err(error), None),
        };
        self.say(id, done, fd.as_ref().map(AsFd::as_fd).as_slice())
    }

    fn say(&self, id: u64, result: Result<Answer>, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let message = Message::Answer { id, result: result.map_err(Told::from) };
        wire::send(&self.supervisor, &message, fds).map_err(step(|| "answering"))
    }

    fn place(&self, node: &str) -> Result<&Place> {
        self.nodes.get(node).ok_or_else(|| SandboxError::Invalid(format!("there is no node {node}")))
    }

    /// Does something in a node's mount namespace, and comes back.
    fn inside(&self, node: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        enter(&self.place(node)?.mnt, Spaces::CLONE_NEWNS)?;
        let done = work();
        self.come_back(&self.own.mnt, Spaces::CLONE_NEWNS);
        done
    }

    /// A network namespace, without staying in it, and its name on a node.
    fn create_netns(&self, named: Option<(String, String)>) -> Result<OwnedFd> {
        enter_new(Spaces::CLONE_NEWNET)?;
        // As a pod's is: its runtime calls the loopback plugin first.
        let made = loopback_up().map_err(SandboxError::from).and_then(|()| Place::of("self").map(|place| place.net));
        self.come_back(&self.own.net, Spaces::CLONE_NEWNET);
        let netns = made?;
        if let Some((node, name)) = named {
            self.inside(&node, || pause::attach(&name, &netns))?;
        }
        Ok(netns)
    }

    /// Goes back to its own namespace. In another one it must not go on.
    fn come_back(&self, space: &OwnedFd, kind: Spaces) {
        if enter(space, kind).is_err() {
            run_to_end(|| 1);
        }
    }

    fn create_node(&mut self, id: u64, name: String, etcd: bool) -> Result<()> {
        let begins =
            |process: &Process| process.begins.is_some() && matches!(&process.kind, Kind::Pause(node) if *node == name);
        if self.nodes.contains_key(&name) || self.processes.values().any(begins) {
            return Err(SandboxError::Invalid(format!("node {name} exists")));
        }
        let title = self.title;
        self.begin(id, Kind::Pause(name.clone()), None, |_, told| pause::make_node(&name, etcd, title, told))
    }

    fn delete_node(&mut self, name: &str) -> Result<()> {
        if let Some(pause) = self.nodes.remove(name).and_then(|place| place.pause) {
            kill(Pid::from_raw(pause), Signal::SIGKILL).map_err(step(|| format!("ending node {name}")))?;
        }
        Ok(())
    }

    fn spawn(&mut self, id: u64, request: wire::SpawnRequest, fds: std::vec::IntoIter<OwnedFd>) -> Result<()> {
        let kind = if request.profile == Profile::Daemon { Kind::Daemon } else { Kind::Command };
        let start = start::Start::prepare(request, fds)?;
        let master = start.master()?;
        self.begin(id, kind, master, |side, told| {
            let place = start.node().map_or(Ok(&side.base), |node| side.place(node));
            start.run(place, side, told)
        })
    }

    /// Forks a process that says through a pipe how it began; the answer to the call follows then.
    fn begin(
        &mut self,
        call: u64,
        kind: Kind,
        beside: Option<OwnedFd>,
        child: impl FnOnce(&NodeSide, File) -> i32,
    ) -> Result<()> {
        let (told, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(step(|| "making a pipe"))?;
        let Some(pid) = fork()? else {
            drop(told);
            run_to_end(|| child(self, tell.into()))
        };
        self.processes.insert(pid.as_raw(), Process { call, kind, begins: Some((told.into(), beside)) });
        Ok(())
    }

    /// Reads how a process began, and answers the call that asked for it.
    fn finish_begin(&mut self, pid: i32) -> Result<()> {
        let Some(process) = self.processes.get_mut(&pid) else { return Ok(()) };
        let Some((mut pipe, beside)) = process.begins.take() else { return Ok(()) };
        let (call, mut words) = (process.call, [0; Told::MOST_BYTES]);
        let listening = || "listening to a new process";
        // Once: all that it says comes at a time, and somebody may stop it before it closes the pipe.
        let length = pipe.read(&mut words).map_err(step(listening))?;
        let told: Result<(), Told> = match (&words[..length], &process.kind) {
            // A program that was executed closed the pipe without a word.
            ([], Kind::Command | Kind::Daemon) => Ok(()),
            // A pause process that was killed before it was one.
            ([], Kind::Pause(_)) => Err(SandboxError::Refused("its first process was killed".into()).into()),
            (words, _) => serde_json::from_slice(words).map_err(io::Error::from).map_err(step(listening))?,
        };
        let node = match &process.kind {
            Kind::Pause(node) => Some(node.clone()),
            Kind::Command | Kind::Daemon => None,
        };
        if let Err(told) = told {
            // Nobody waits for the end of what never began.
            self.processes.remove(&pid);
            return self.say(call, Err(SandboxError::from(told)), &[]);
        }
        let answer = Ok(Answer::Process { pid });
        let Some(node) = node else {
            return self.say(call, answer, beside.as_ref().map(AsFd::as_fd).as_slice());
        };
        let place = Place::of(&pid.to_string())
            .and_then(|place| Ok((place, mounts::open_place(Path::new(&format!("/proc/{pid}/root")))?)));
        match place {
            Ok((place, root)) => {
                let fds = [place.net.as_fd(), place.mnt.as_fd(), place.uts.as_fd(), root.as_fd()];
                self.say(call, answer, &fds)?;
                self.nodes.insert(node, place);
                Ok(())
            }
            Err(error) => self.say(call, Err(error), &[]),
        }
    }

    /// Reaps every process that has ended, and says which of those it started.
    fn reap(&mut self) -> Result<()> {
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let (pid, status, by_signal) = match waitid(Id::All, flags) {
                Ok(WaitStatus::Exited(pid, status)) => (pid, status, false),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32, true),
                Ok(_) | Err(nix::Error::ECHILD) => return Ok(()),
                Err(error) => return Err(step(|| "reaping")(error)),
            };
            self.finish_begin(pid.as_raw())?;
            let process = self.processes.remove(&pid.as_raw());
            if matches!(&process, Some(Process { kind: Kind::Daemon, .. })) {
                // What it left of its own. Until it is reaped, its number can't be another's.
                let _ = killpg(pid, Signal::SIGKILL);
            }
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED).map_err(step(|| "reaping"))?;
            match process {
                Some(Process { kind: Kind::Pause(node), .. }) => self.pause_again(pid, node)?,
                Some(Process { call, .. }) => {
                    let message = Message::Ended { process: call, status, by_signal };
                    wire::send(&self.supervisor, &message, &[]).map_err(step(|| "telling of an end"))?;
                }
                None => {}
            }
        }
    }

    /// A pause process ended. Where its node is still there, somebody killed it: another one takes its place.
    fn pause_again(&mut self, ended: Pid, node: String) -> Result<()> {
        let title = self.title;
        let Some(place) = self.nodes.get_mut(&node).filter(|place| place.pause == Some(ended.as_raw())) else {
            return Ok(());
        };
        let Ok(forked) = fork() else { return Ok(()) };
        let Some(pid) = forked else {
            run_to_end(|| pause::keep_node(&node, place, title));
        };
        place.pause = Some(pid.as_raw());
        let message = Message::Paused { node: node.clone(), pid: pid.as_raw() };
        self.processes.insert(pid.as_raw(), Process { call: 0, kind: Kind::Pause(node), begins: None });
        wire::send(&self.supervisor, &message, &[]).map_err(step(|| "telling of a new pause process"))
    }

    /// A signal to the process group of a process that was started here and has not been reaped.
    fn signal(&self, call: u64, signal: i32) -> Result<()> {
        let signal = Signal::try_from(signal).map_err(|_| SandboxError::Invalid(format!("{signal} is no signal")))?;
        let mut found = self.processes.iter().filter(|(_, process)| process.call == call && call != 0);
        let Some((pid, _)) = found.next() else { return Ok(()) };
        match killpg(Pid::from_raw(*pid), signal) {
            // It has not become the leader of a group yet, or the last of the group has just ended.
            Err(nix::Error::ESRCH) => kill(Pid::from_raw(*pid), signal).or(Ok(())),
            done => done,
        }
        .map_err(step(|| format!("sending signal {signal} to process {pid}")))
    }
}

/// Who has something to say.
struct Ready {
    supervisor: bool,
    children: bool,
    begun: Vec<i32>,
}
