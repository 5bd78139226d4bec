//! `knetsim logs NODE [-f]`.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use knetsim_model::protocol::{Reply, Request};
use knetsim_model::{Failure, Target};

use crate::control::client::Client;
use crate::{completion, output, sandboxes};

/// How often a log is looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// How much of it is read at once, in bytes.
const CHUNK: usize = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  knetsim logs C0e1 -f                       etcd's
  knetsim logs C0w1                          the agent's
  knetsim logs C0w1.web --tail 20            a container's command's
  knetsim logs                               the sandbox's own";

/// Print the logs of a node's daemons or of a container's commands
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Node or container; left out, the log of the sandbox itself
    #[arg(add = completion::targets())]
    target: Option<Target>,
    /// Go on as they grow
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let folder = sandboxes::find(name)?;
    sandboxes::runtime()?.block_on(async {
        let mut client = sandboxes::connect(&folder).await?;
        let mut logs = match args.target {
            Some(target) => fetch(&mut client, target).await?,
            None => vec![Log::new("knetsim", own_log(folder.path())?)],
        };
        let mut titles = Titles { wanted: logs.len() > 1, last: None };
        for log in &mut logs {
            if let Some(lines) = args.tail {
                log.offset = start_of_last_lines(&log.file, lines)?;
            }
            log.print(&mut titles)?;
        }
        if args.follow {
            follow(&mut client, &mut logs, &mut titles).await?;
        }
        Ok(0)
    })
}

/// What a sandbox in the background says of itself.
fn own_log(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("log");
    match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::not_found("this sandbox runs in the foreground, and says there what it has to say").into())
        }
        opened => opened.with_context(|| format!("opening {}", path.display())),
    }
}

/// Asks for the logs' descriptors.
async fn fetch(client: &mut Client, target: Target) -> anyhow::Result<Vec<Log>> {
    let mut logs = Vec::new();
    let each = |reply, descriptors: Vec<OwnedFd>| {
        if let (Reply::Log { name }, Some(descriptor)) = (reply, descriptors.into_iter().next()) {
            logs.push(Log::new(&name, descriptor.into()));
        }
    };
    client.ask(Request::Logs { target }, each).await?;
    Ok(logs)
}

/// Prints what is added, until the sandbox ends.
async fn follow(client: &mut Client, logs: &mut [Log], titles: &mut Titles) -> anyhow::Result<()> {
    loop {
        let ended = tokio::time::timeout(INTERVAL, client.receive()).await.is_ok();
        for log in logs.iter_mut() {
            log.print(titles)?;
        }
        if ended {
            return Ok(());
        }
    }
}

/// A log, and how far it was printed.
struct Log {
    name: String,
    file: File,
    offset: u64,
}

impl Log {
    fn new(name: &str, file: File) -> Log {
        Log { name: name.to_owned(), file, offset: 0 }
    }

    /// Prints what is there beyond the offset.
    fn print(&mut self, titles: &mut Titles) -> anyhow::Result<()> {
        // It was emptied: from its beginning again.
        self.offset = self.offset.min(self.file.metadata()?.len());
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = self.file.read_at(&mut chunk, self.offset)?;
            if read == 0 {
                return Ok(());
            }
            titles.print(&self.name)?;
            let mut out = std::io::stdout().lock();
            out.write_all(&chunk[..read]).and_then(|()| out.flush()).context("writing to standard output")?;
            self.offset += read as u64;
        }
    }
}

/// Says whose lines follow, as `tail` does with several files.
struct Titles {
    wanted: bool,
    last: Option<String>,
}

impl Titles {
    fn print(&mut self, name: &str) -> anyhow::Result<()> {
        if self.wanted && self.last.as_deref() != Some(name) {
            let line = if self.last.is_some() { "\n" } else { "" };
            output::print(&format!("{line}==> {name} <=="))?;
            self.last = Some(name.to_owned());
        }
        Ok(())
    }
}

/// Where the last `lines` lines of a file begin.
fn start_of_last_lines(file: &File, lines: usize) -> std::io::Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut end = file.metadata()?.len();
    let mut ends_to_pass = lines;
    // The last line's own end does not count.
    let mut last = true;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let part = &mut chunk[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for (index, byte) in part.iter().enumerate().rev() {
            if *byte == b'\n' && !std::mem::take(&mut last) {
                ends_to_pass = ends_to_pass.saturating_sub(1);
                if ends_to_pass == 0 {
                    return Ok(start + index as u64 + 1);
                }
            }
            last = false;
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        let text = (0..20_000).map(|line| format!("line {line}\n")).collect::<String>() + "open";
        file.write_all(text.as_bytes()).unwrap();
        for (lines, begins) in [(1, "open"), (2, "line 19999\n"), (15_000, "line 5001\n"), (30_000, "line 0\n")] {
            let start = start_of_last_lines(&file, lines).unwrap() as usize;
            assert!(text[start..].starts_with(begins), "{lines}: {:?}", &text[start..start + 20]);
        }
        file.write_all(b"\n").unwrap();
        assert_eq!(start_of_last_lines(&file, 1).unwrap() as usize, text.len() - 4);
    }
}
