//! What a person grants a lab.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};

use anyhow::Context;
use knetsim_lab::{Grant, Manifest};
use knetsim_model::{Code, Failure};

use crate::{lab_file, output, terminal};

/// What was said on the command line.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    /// Granted, whether it is asked for or not.
    pub(crate) allow: &'a [Grant],
    /// Not granted, though it is asked for.
    pub(crate) deny: &'a [Grant],
    /// Whether all else that is asked for is granted.
    pub(crate) yes: bool,
}

/// What is granted: what it asks for, where the person agrees, and what was allowed by hand.
pub(crate) fn decide(manifest: &Manifest, said: &Said<'_>) -> anyhow::Result<BTreeSet<Grant>> {
    let given = |grant: &&Grant| said.allow.contains(grant) || said.deny.contains(grant);
    let open: BTreeSet<_> = manifest.grants.keys().filter(|grant| !given(grant)).copied().collect();
    let mut granted: BTreeSet<_> = said.allow.iter().copied().collect();
    output::say(format_args!("{}", lab_file::describe(manifest, terminal::columns()).trim_end()));
    if open.is_empty() || said.yes {
        granted.extend(open);
    } else if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        if !agree("Grant this? [y/N] ")? {
            return Err(Failure::new(Code::Denied, "nothing was granted, so it was not run").into());
        }
        granted.extend(open);
    } else if said.allow.is_empty() && said.deny.is_empty() {
        let name = &manifest.name;
        let message = format!("`{name}` was granted nothing. Grant all of it by --yes, or some by --allow GRANT.");
        return Err(Failure::new(Code::Denied, message).into());
    }
    Ok(granted)
}

/// Asks on the terminal itself: standard input is the lab's.
fn agree(question: &str) -> anyhow::Result<bool> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").context("opening the terminal")?;
    terminal.write_all(question.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
