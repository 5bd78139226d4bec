//! `knetsim logs NODE [-f]`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use knetsim_model::protocol::{Reply, Request};
use knetsim_model::{Code, Event, Failure, Target};

use crate::control::client::Client;
use crate::control::wire::WireError;
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
        let fetched = match &args.target {
            Some(target) => fetch(&mut client, target).await?,
            None => Fetched { parts: vec![("knetsim".to_owned(), own_log(folder.path())?)], ..Fetched::default() },
        };
        let mut logs = Logs::new(fetched)?;
        if let (true, Some(target)) = (logs.all.is_empty(), &args.target) {
            return Err(Failure::not_found(format!("{target} has logged nothing yet")).into());
        }
        if let Some(lines) = args.tail {
            logs.all.iter_mut().try_for_each(|log| log.skip_to_last_lines(lines))?;
        }
        logs.print()?;
        if args.follow {
            follow(&mut client, args.target.as_ref(), logs).await?;
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

/// What the supervisor gave.
#[derive(Default)]
struct Fetched {
    /// Whose logs these are now: another number for another node or container of the same name.
    life: u64,
    /// Names, and open files.
    parts: Vec<(String, File)>,
    /// What can't be read.
    warning: Option<String>,
}

async fn fetch(client: &mut Client, target: &Target) -> anyhow::Result<Fetched> {
    let mut fetched = Fetched::default();
    let each = |reply, descriptors: Vec<OwnedFd>| match (reply, descriptors.into_iter().next()) {
        (Reply::Log { name, life }, Some(descriptor)) => {
            fetched.life = life;
            fetched.parts.push((name, descriptor.into()));
        }
        (Reply::Event(Event::Warning { message }), _) => fetched.warning = Some(message),
        _ => {}
    };
    client.ask(Request::Logs { target: target.clone() }, each).await?;
    Ok(fetched)
}

/// Prints what is added, until the container or node that logs, or the sandbox, is gone.
async fn follow(client: &mut Client, target: Option<&Target>, mut logs: Logs) -> anyhow::Result<()> {
    loop {
        let ended = tokio::time::timeout(INTERVAL, client.receive()).await.is_ok();
        logs.print()?;
        if ended {
            return Ok(());
        }
        let Some(target) = target else { continue };
        let gone = match fetch(client, target).await {
            // Nothing was logged yet by another one of that name, or somebody has deleted the file.
            Ok(fetched) if fetched.parts.is_empty() => false,
            Ok(fetched) if fetched.life != logs.life => true,
            Ok(fetched) => {
                logs.go_on_with(fetched)?;
                false
            }
            Err(error) if error.is::<WireError>() => true,
            Err(error) if error.downcast_ref::<Failure>().is_some_and(|failure| failure.code == Code::NotFound) => true,
            Err(error) => return Err(error),
        };
        if gone {
            // What was written last.
            return logs.print();
        }
    }
}

/// The logs of one container or node.
struct Logs {
    life: u64,
    all: Vec<Log>,
    titles: Titles,
    /// What was last said to be missing: the same is said once.
    warning: Option<String>,
}

impl Logs {
    fn new(fetched: Fetched) -> anyhow::Result<Logs> {
        let titles = Titles { wanted: false, last: None };
        let mut logs = Logs { life: fetched.life, all: Vec::new(), titles, warning: None };
        logs.go_on_with(fetched)?;
        Ok(logs)
    }

    /// Takes over those parts that are new: a log was rotated, or one more has begun.
    fn go_on_with(&mut self, fetched: Fetched) -> anyhow::Result<()> {
        if let Some(warning) = fetched.warning.filter(|warning| self.warning.as_ref() != Some(warning)) {
            output::warning(&warning);
            self.warning = Some(warning);
        }
        for parts in fetched.parts.chunk_by(|(one, _), (other, _)| one == other) {
            let name = &parts[0].0;
            let index = self.all.iter().position(|log| log.name == *name).unwrap_or_else(|| {
                self.all.push(Log::new(name));
                self.all.len() - 1
            });
            let files = parts.iter().map(|(_, file)| file.try_clone()).collect::<Result<Vec<_>, _>>()?;
            if !self.all[index].go_on_with(files)? {
                output::warning(&format!("{name}: some of it was deleted before it was printed"));
            }
        }
        self.titles.wanted = self.all.len() > 1;
        Ok(())
    }

    fn print(&mut self) -> anyhow::Result<()> {
        self.all.iter_mut().try_for_each(|log| log.print(&mut self.titles))
    }
}

/// A log: its parts that are not printed yet, and how far the first of them is.
struct Log {
    name: String,
    parts: VecDeque<File>,
    offset: u64,
    out: output::Stream,
}

impl Log {
    fn new(name: &str) -> Log {
        Log { name: name.to_owned(), parts: VecDeque::new(), offset: 0, out: output::Stream::default() }
    }

    /// Adds those that follow the last part. False where that is not among them any more.
    fn go_on_with(&mut self, files: Vec<File>) -> std::io::Result<bool> {
        let id = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        let ids = files.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        let last = self.parts.back().map(id).transpose()?;
        let known = ids.iter().position(|id| Some(*id) == last);
        self.parts.extend(files.into_iter().skip(known.map_or(0, |index| index + 1)));
        Ok(last.is_none() || known.is_some())
    }

    /// Begins where the last `lines` lines begin.
    fn skip_to_last_lines(&mut self, mut lines: usize) -> std::io::Result<()> {
        for index in (0..self.parts.len()).rev() {
            let part = &self.parts[index];
            let (start, passed) = start_of_last_lines(part, part.metadata()?.len(), lines)?;
            lines -= passed.min(lines);
            if lines == 0 || index == 0 {
                self.parts.drain(..index);
                self.offset = start;
                break;
            }
        }
        Ok(())
    }

    /// Prints what is there beyond the offset.
    fn print(&mut self, titles: &mut Titles) -> anyhow::Result<()> {
        let mut chunk = vec![0; CHUNK];
        while let Some(part) = self.parts.front() {
            if part.metadata()?.len() < self.offset {
                // It was written anew: from its beginning again.
                self.offset = 0;
            }
            let read = part.read_at(&mut chunk, self.offset)?;
            if read > 0 {
                titles.print(&self.name)?;
                self.out.print(&chunk[..read])?;
                self.offset += read as u64;
            } else if self.parts.len() > 1 {
                self.parts.pop_front();
                self.offset = 0;
            } else {
                return Ok(());
            }
        }
        Ok(())
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

/// Where the last `lines` lines of a file's first `end` bytes begin, and how many lines those are. A file that has
/// become shorter meanwhile is looked at from where it ends now.
fn start_of_last_lines(file: &File, mut end: u64, lines: usize) -> std::io::Result<(u64, usize)> {
    let mut chunk = vec![0; CHUNK];
    let mut passed = 0;
    // The last line's own end does not count.
    let mut last = true;
    if lines == 0 || end == 0 {
        return Ok((end, 0));
    }
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let part = &mut chunk[..(end - start) as usize];
        let read = fill(file, part, start)?;
        if read < part.len() {
            end = start + read as u64;
            (passed, last) = (0, true);
            if read == 0 {
                continue;
            }
        }
        for (index, byte) in part[..read].iter().enumerate().rev() {
            if *byte == b'\n' && !std::mem::take(&mut last) {
                passed += 1;
                if passed == lines {
                    return Ok((start + index as u64 + 1, passed));
                }
            }
            last = false;
        }
        end = start;
    }
    Ok((0, if last { 0 } else { passed + 1 }))
}

/// Reads as much as there is from that place on.
fn fill(file: &File, buffer: &mut [u8], from: u64) -> std::io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], from + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_last_lines_of_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        let start_of_last_lines = |file: &File, lines| start_of_last_lines(file, file.metadata().unwrap().len(), lines);
        assert_eq!(start_of_last_lines(&file, 3).unwrap(), (0, 0));
        let text = (0..20_000).map(|line| format!("line {line}\n")).collect::<String>() + "open";
        file.write_all(text.as_bytes()).unwrap();
        for (lines, begins) in [(1, "open"), (2, "line 19999\n"), (15_000, "line 5001\n"), (30_000, "line 0\n")] {
            let (start, passed) = start_of_last_lines(&file, lines).unwrap();
            assert!(text[start as usize..].starts_with(begins), "{lines}: {:?}", &text[start as usize..][..20]);
            assert_eq!(passed, lines.min(20_001));
        }
        assert_eq!(start_of_last_lines(&file, 0).unwrap(), (text.len() as u64, 0));
        file.write_all(b"\n").unwrap();
        assert_eq!(start_of_last_lines(&file, 1).unwrap(), (text.len() as u64 - 4, 1));
    }

    #[test]
    fn a_file_may_become_shorter_meanwhile() {
        let file = file("1\n2\n3\n");
        for end in [7, 100, CHUNK as u64 + 6, 3 * CHUNK as u64] {
            assert_eq!(start_of_last_lines(&file, end, 2).unwrap(), (2, 2), "{end}");
        }
        file.set_len(0).unwrap();
        assert_eq!(start_of_last_lines(&file, 100, 2).unwrap(), (0, 0));
    }

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_rotated_log_is_gone_on_with_where_it_was() {
        let parts = [file("1\n2\n"), file("3\n4\n"), file("5\n")];
        let some = |range: std::ops::Range<usize>| parts[range].iter().map(|part| part.try_clone().unwrap()).collect();
        let mut log = Log::new("a");
        assert!(log.go_on_with(some(0..2)).unwrap());
        assert!(log.go_on_with(some(0..3)).unwrap());
        assert_eq!(log.parts.len(), 3);
        assert!(log.go_on_with(some(2..3)).unwrap());
        assert_eq!(log.parts.len(), 3);
        for (lines, left) in [(2, (2, 2)), (1, (1, 0))] {
            log.skip_to_last_lines(lines).unwrap();
            assert_eq!((log.parts.len(), log.offset), left, "{lines}");
        }
        // The part that was followed is gone: that is told.
        assert!(!log.go_on_with(some(0..2)).unwrap());
    }
}
