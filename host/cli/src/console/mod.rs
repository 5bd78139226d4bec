//! The console: lines in, commands of knetsim out. Where one is a command line of knetsim, as most are in the end, a
//! process of its own does it, which gets the terminal, its keys and its Ctrl-C, and can start what needs a fresh one.

mod line;
mod lines;
mod literal;
mod runs;
mod slides;
mod traffic;
mod wiring;
mod words;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use knetsim_model::Failure;
use tokio::signal::unix::{SignalKind, signal};

use crate::control::client::Client;
use crate::control::wire::WireError;
use crate::fresh::Interrupted;
use crate::{exit, output, sandboxes, terminal};
use line::{Known, Line};
use lines::Lines;

/// How deep files may have each other read.
const DEPTH: usize = 16;

/// What can be typed beside knetsim's own verbs.
const COMMANDS: [(&str, &str); 11] = [
    ("nodes", "what there is: clusters, nodes, containers, services"),
    ("dump", "the same with addresses, processes and states"),
    ("net", "what is joined to what: nodes to switches, containers to their workers' bridges"),
    ("links", "each link there, and how its ends stand"),
    ("link C0w1 C0s0 down", "the link between these two down, or up"),
    ("pingall", "all nodes ping each other, and the containers of each cluster"),
    ("iperf C0w1 C0w2", "how much goes through over TCP; left out, between the first and the last node"),
    ("sh COMMAND", "a command where all switches are; `sh` alone is a shell there"),
    ("source FILE", "the lines of a file, up to the first that fails"),
    ("py C0w1.create_container(\"c10\")", "what the course's slides say, with a hint to today's form"),
    ("exit", "the end, as is Ctrl-D; `help` is this, `help VERB` more"),
];

/// Whether a person sits at the console.
pub(crate) fn is_interactive() -> bool {
    terminal::is_interactive()
}

/// Reads lines and does what they say until they end or the sandbox does; without a person up to the first that
/// fails, whose status it returns. Ctrl-C is for what runs.
pub(crate) async fn run(mut client: Client) -> anyhow::Result<u8> {
    let name = client.inspect().await?.sandbox;
    let interactive = is_interactive();
    // However it ends, the terminal is as it was.
    let _mode = interactive.then(terminal::Kept::mode).transpose()?;
    let lines = if interactive { Lines::typed(name.clone()) } else { Lines::of_standard_input() };
    if interactive {
        output::say(format_args!("`help` lists what can be typed, Tab completes it, Ctrl-D ends"));
    }
    let done = Console { client, name, interactive, verbs: lines::verbs() }.obey_all(lines).await;
    match done {
        Err(error) if matches!(error.downcast_ref(), Some(WireError::Ended)) => {
            output::say(format_args!("the sandbox has ended"));
            Ok(0)
        }
        done => done,
    }
}

/// What became of a line.
enum Done {
    /// It ended with that status.
    Status(u8),
    /// It asks for the end.
    Exit,
}

struct Console {
    /// For questions, and to hear of the sandbox's end.
    client: Client,
    name: String,
    interactive: bool,
    verbs: Vec<String>,
}

impl Console {
    async fn obey_all(mut self, mut lines: Lines) -> anyhow::Result<u8> {
        loop {
            let read = tokio::select! {
                read = lines.next() => read?,
                ended = self.ended() => return Err(ended),
            };
            let Some((number, text)) = read else { return Ok(0) };
            match self.obey(&text, 0).await {
                Ok(Done::Exit) => return Ok(0),
                Ok(Done::Status(0)) => {}
                Ok(Done::Status(status)) if !self.interactive => {
                    output::say(format_args!("line {number} failed with status {status}: {text}"));
                    return Ok(status);
                }
                Err(error) if !self.interactive => return Err(error.context(format!("line {number}"))),
                Err(error) if matches!(error.downcast_ref(), Some(WireError::Ended)) => return Err(error),
                Ok(Done::Status(_)) => {}
                Err(error) => output::error(&error),
            }
        }
    }

    /// Returns when the sandbox ends, with the error that says so.
    async fn ended(&mut self) -> anyhow::Error {
        loop {
            // Answers that come late are of what Ctrl-C has ended.
            if let Err(error) = self.client.receive().await {
                return error.into();
            }
        }
    }

    async fn obey(&mut self, text: &str, depth: usize) -> anyhow::Result<Done> {
        let inventory = self.client.inspect().await?;
        let known = Known::new(&self.verbs, &inventory);
        let parse = |text: &str| line::parse(text, &known).map_err(Failure::invalid);
        let line = match parse(text)? {
            Line::Slides(today) => {
                output::say(format_args!("hint: today: {today}"));
                parse(&today)?
            }
            line => line,
        };
        let status = match line {
            Line::Nothing | Line::Slides(_) => 0,
            Line::Exit => return Ok(Done::Exit),
            Line::Help => self.help()?,
            Line::Source(file) => return Box::pin(self.source(&file, depth + 1)).await,
            Line::Knetsim(words) => self.knetsim(&words).await?,
            Line::Link(one, other, state) => {
                let interface = wiring::between(&inventory, &one, &other)?;
                self.knetsim(&["link".to_owned(), interface, state]).await?
            }
            Line::Exec { target, command, background } => {
                let how = match (background, self.interactive) {
                    (true, _) => &["exec", "-d"][..],
                    (false, true) => &["exec", "-it"],
                    (false, false) => &["exec"],
                };
                let words = how.iter().copied().map(str::to_owned).chain([target.to_string(), "--".to_owned()]);
                self.knetsim(&words.chain(command).collect::<Vec<_>>()).await?
            }
            Line::Net => self.own(async |client| said(&wiring::net(client).await?)).await?,
            Line::Links => self.own(async |client| said(&wiring::list(client).await?)).await?,
            Line::PingAll => self.own(traffic::pingall).await?,
            Line::Iperf(pair) => self.own(async |client| traffic::iperf(client, pair).await).await?,
        };
        Ok(Done::Status(status))
    }

    fn help(&self) -> anyhow::Result<u8> {
        let mut rows = vec![
            vec!["C0w1 ping -c1 C0w2".to_owned(), "a command on a node; `C0w1` alone is a shell there".to_owned()],
            vec![
                "C0w1.c1 curl 100.64.10.1".to_owned(),
                "the same in a container; with `&` in the background".to_owned(),
            ],
        ];
        rows.extend(COMMANDS.iter().map(|(form, what)| vec![(*form).to_owned(), (*what).to_owned()]));
        rows.push(vec![self.verbs.join(" "), String::new()]);
        let last = rows.pop().map(|row| row.concat()).unwrap_or_default();
        said(&format!("{}\nand knetsim's own verbs: {last}", output::table(&["TYPE", "FOR"], rows)))
    }

    /// The lines of a file, up to the first that fails.
    async fn source(&mut self, file: &Path, depth: usize) -> anyhow::Result<Done> {
        if depth > DEPTH {
            return Err(
                Failure::invalid(format!("{}: files that read each other, {DEPTH} deep", file.display())).into()
            );
        }
        let opened = File::open(file).with_context(|| format!("reading {}", file.display()))?;
        for read in lines::statements(BufReader::new(opened)) {
            let (number, text) = read.with_context(|| format!("reading {}", file.display()))?;
            let place = format!("{}:{number}", file.display());
            match self.obey(&text, depth).await.with_context(|| place.clone())? {
                Done::Status(0) => {}
                Done::Status(status) => {
                    output::say(format_args!("{place} failed with status {status}: {text}"));
                    return Ok(Done::Status(status));
                }
                Done::Exit => return Ok(Done::Exit),
            }
        }
        Ok(Done::Status(0))
    }

    /// Does a command line of knetsim, in this sandbox unless it names another one.
    async fn knetsim(&mut self, words: &[String]) -> anyhow::Result<u8> {
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.arg0("knetsim").args(words).env("KNETSIM_NAME", &self.name).kill_on_drop(true);
        if !self.interactive {
            // What follows in standard input are this console's own lines.
            command.stdin(Stdio::null());
        }
        let status = command.status().await.context("starting knetsim")?;
        Ok(exit::of_process(status))
    }

    /// Does something over a connection of its own, up to Ctrl-C: what was started for it ends with that.
    async fn own(&self, what: impl AsyncFnOnce(&mut Client) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut client = sandboxes::connect(&sandboxes::find(Some(&self.name))?).await?;
        tokio::select! {
            done = what(&mut client) => done,
            _ = interrupt.recv() => Err(Interrupted(2).into()),
        }
    }
}

fn said(text: &str) -> anyhow::Result<u8> {
    output::print(text)?;
    Ok(0)
}
