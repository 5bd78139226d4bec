//! What a person grants a lab.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::str::FromStr;

use anyhow::Context;
use knetsim_lab::{Grant, LabError, Manifest, package};
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

/// What was granted to a lab of these bytes: so that the same is granted to it again, without a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    digest: String,
    grants: BTreeSet<Grant>,
}

impl Agreed {
    pub(crate) fn new(lab: &[u8], grants: BTreeSet<Grant>) -> Agreed {
        Agreed { digest: package::digest(lab), grants }
    }

    /// What was granted, where the lab is the same.
    pub(crate) fn to(&self, lab: &[u8]) -> Option<&BTreeSet<Grant>> {
        (self.digest == package::digest(lab)).then_some(&self.grants)
    }

    /// What was granted.
    pub(crate) fn grants(&self) -> Vec<String> {
        self.grants.iter().map(ToString::to_string).collect()
    }
}

/// `DIGEST:GRANT,GRANT`.
impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.digest, self.grants().join(","))
    }
}

impl FromStr for Agreed {
    type Err = String;
    fn from_str(text: &str) -> Result<Agreed, String> {
        let (digest, grants) = text.split_once(':').ok_or("write DIGEST:GRANT,GRANT")?;
        let grants = grants.split(',').filter(|grant| !grant.is_empty()).map(str::parse);
        let grants = grants.collect::<Result<_, _>>().map_err(|error: LabError| error.to_string())?;
        Ok(Agreed { digest: digest.to_owned(), grants })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_agreed_is_for_the_same_bytes() {
        for grants in [vec![], vec![Grant::Observe], Grant::ALL.to_vec()] {
            let agreed = Agreed::new(b"lab", grants.into_iter().collect());
            let passed_on: Agreed = agreed.to_string().parse().unwrap();
            assert_eq!(passed_on, agreed);
            assert_eq!(passed_on.to(b"lab"), Some(&agreed.grants));
            assert_eq!(passed_on.to(b"another"), None);
        }
        assert!("observe".parse::<Agreed>().is_err() && "x:everything".parse::<Agreed>().is_err());
    }
}
