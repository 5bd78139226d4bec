//! What a line of the console asks for.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use knetsim_model::Target;
use knetsim_model::inventory::Inventory;

use super::slides;
use super::words::{self, Words};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing: it is empty or a comment.
    Nothing,
    /// What can be typed.
    Help,
    /// The end.
    Exit,
    /// What is joined to what.
    Net,
    /// Each link, and how its ends stand.
    Links,
    /// Everybody pings everybody.
    PingAll,
    /// How much goes through between two nodes or containers; left out, the first and the last node.
    Iperf(Option<(String, String)>),
    /// The link between these two up or down.
    Link(String, String, String),
    /// The lines of a file.
    Source(PathBuf),
    /// A form of the slides, and the line that says the same today.
    Slides(String),
    /// A command line of knetsim itself.
    Knetsim(Vec<String>),
    /// A program on a node or in a container.
    Exec {
        /// Where.
        target: Target,
        /// The program and its arguments.
        command: Vec<String>,
        /// Left running in the background.
        background: bool,
    },
}

/// What lines can name.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// knetsim's own verbs.
    pub(super) verbs: Vec<String>,
    /// Nodes and containers, these as `C0w1.c1` and as `C0.c1`.
    pub(super) addresses: BTreeMap<String, Ipv4Addr>,
    /// Services' virtual addresses, by `C0.web`.
    pub(super) services: BTreeMap<String, Ipv4Addr>,
}

impl Known {
    /// What is there now.
    pub(super) fn new(verbs: &[String], inventory: &Inventory) -> Known {
        let nodes = inventory.nodes.iter().map(|node| (node.name.to_string(), node.address));
        let containers = inventory.containers.iter().flat_map(|container| {
            let places = [container.worker.to_string(), container.cluster.to_string()];
            places.map(|place| (format!("{place}.{}", container.name), container.address))
        });
        let services = inventory.services.iter();
        let services = services.filter_map(|it| Some((format!("{}.{}", it.cluster, it.name), it.spec.vip?)));
        Known { verbs: verbs.to_vec(), addresses: nodes.chain(containers).collect(), services: services.collect() }
    }

    /// A word with the name that it is, or begins with as `C0w1:8001/svc1` and `http://C0.web` do, turned into an
    /// address. A container's name comes before a service's.
    fn turned(&self, word: &str) -> Option<String> {
        let scheme = word.find("://").map_or(0, |at| at + "://".len());
        let (scheme, rest) = word.split_at(scheme);
        let (name, rest) = rest.split_at(rest.find([':', '/']).unwrap_or(rest.len()));
        let address = self.addresses.get(name).or_else(|| self.services.get(name))?;
        Some(format!("{scheme}{address}{rest}"))
    }

    /// Whether programs can be run there.
    fn target(&self, word: &str) -> Option<Target> {
        let target = word.parse().ok()?;
        let known = match &target {
            Target::Base => true,
            Target::Named(node, _) => self.addresses.contains_key(node.as_str()),
            Target::Node(_) | Target::Container(_) => self.addresses.contains_key(word),
        };
        known.then_some(target)
    }
}

/// Reads a line.
pub(super) fn parse(line: &str, known: &Known) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::Nothing);
    }
    if let Some(form) = slides::form(line) {
        return slides::today(form).map(Line::Slides);
    }
    let line = line.strip_prefix("knetsim ").map_or(line, str::trim_start);
    let all = words::split(line).ok_or("a quote is not closed")?;
    let texts: Vec<_> = all.words.iter().map(|word| word.text.as_str()).collect();
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match texts.as_slice() {
        [] => Ok(Line::Nothing),
        ["help"] => Ok(Line::Help),
        ["help", verb] => Ok(Line::Knetsim(owned(&[verb, "--help"]))),
        ["exit" | "quit"] => Ok(Line::Exit),
        ["nodes"] => Ok(Line::Knetsim(owned(&["inspect", "-o", "name"]))),
        ["dump"] => Ok(Line::Knetsim(owned(&["inspect", "-o", "wide"]))),
        ["net"] => Ok(Line::Net),
        ["links"] => Ok(Line::Links),
        ["pingall"] => Ok(Line::PingAll),
        ["iperf"] => Ok(Line::Iperf(None)),
        ["iperf", from, to] => Ok(Line::Iperf(Some(((*from).to_owned(), (*to).to_owned())))),
        ["iperf", ..] => Err("write `iperf`, or `iperf FROM TO`".to_owned()),
        ["link", one, other, state @ ("up" | "down")] => {
            Ok(Line::Link((*one).to_owned(), (*other).to_owned(), (*state).to_owned()))
        }
        ["source", file] => Ok(Line::Source(file.into())),
        ["source", ..] => Err("write `source FILE`".to_owned()),
        ["console", ..] => Err("this is the console: `help` says what can be typed".to_owned()),
        [word @ ("exit" | "quit" | "nodes" | "net" | "links" | "dump" | "pingall"), ..] => {
            Err(format!("`{word}` stands alone"))
        }
        ["sh"] => Ok(Line::Knetsim(owned(&["shell"]))),
        ["sh", ..] => program(Target::Base, line, &all, known),
        [verb, ..] if known.verbs.iter().any(|it| it == verb) => Ok(Line::Knetsim(owned(&texts))),
        [word, rest @ ..] => match known.target(word) {
            None => Err(format!("`{word}` is neither a command nor a node or container: `help` and `nodes` list them")),
            Some(_) if rest.is_empty() => Ok(Line::Knetsim(owned(&["shell", word]))),
            Some(target) => program(target, line, &all, known),
        },
    }
}

/// What follows the first word, names turned into addresses: a program with its arguments, or where it needs one,
/// a line for a shell there.
fn program(target: Target, line: &str, all: &Words, known: &Known) -> Result<Line, String> {
    let start = all.words.get(1).map_or(line.len(), |word| word.at.start);
    let rest = &line[start..];
    let without = rest.strip_suffix('&').filter(|rest| !rest.ends_with(['&', '\\']) && all.shell);
    let (background, rest) = (without.is_some(), without.unwrap_or(rest).trim_end());
    let Words { words, shell } = words::split(rest).ok_or("a quote is not closed")?;
    if words.is_empty() {
        return Err(format!("write `{target} COMMAND`; `{target}` alone is a shell"));
    }
    // Where all switches are, a node's name is that of its port.
    let base = target == Target::Base;
    let address = |index: usize, text: &str| known.turned(text).filter(|_| index > 0 && !base);
    let command = if shell {
        let mut line = rest.to_owned();
        for (index, word) in words.iter().enumerate().rev() {
            if let Some(address) = address(index, &word.text) {
                line.replace_range(word.at.clone(), &address);
            }
        }
        vec!["sh".to_owned(), "-c".to_owned(), line]
    } else {
        let turned = |(index, word): (usize, words::Word)| address(index, &word.text).unwrap_or(word.text);
        words.into_iter().enumerate().map(turned).collect()
    };
    Ok(Line::Exec { target, command, background })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known() -> Known {
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let names = ["C0w1", "C0w2", "box", "C0w1.c1", "C0.c1"];
        let addresses = names.iter().zip(3..).map(|(name, last)| ((*name).to_owned(), address(last))).collect();
        let services = [("C0.web".to_owned(), Ipv4Addr::new(100, 64, 0, 1)), ("C0.c1".to_owned(), address(99))];
        let verbs = ["create", "link", "up", "inspect"].map(str::to_owned).to_vec();
        Known { verbs, addresses, services: services.into() }
    }

    fn exec(target: &str, command: &[&str], background: bool) -> Line {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Line::Exec { target: target.parse().unwrap(), command, background }
    }

    fn words(words: &[&str]) -> Line {
        Line::Knetsim(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn programs_run_where_the_line_begins_with_names_turned_into_addresses() {
        for (line, meant) in [
            ("C0w1 ping -c1 C0w2", exec("C0w1", &["ping", "-c1", "10.0.0.4"], false)),
            ("C0w1.c1 curl 100.64.10.1", exec("C0w1.c1", &["curl", "100.64.10.1"], false)),
            ("C0.c1 echo C0w1.c1 xC0w2 C0w2: 'C0w2'", {
                exec("C0.c1", &["echo", "10.0.0.6", "xC0w2", "10.0.0.4:", "10.0.0.4"], false)
            }),
            ("C0w1 C0w2", exec("C0w1", &["C0w2"], false)),
            ("box/myns ip addr", exec("box/myns", &["ip", "addr"], false)),
            (
                "C0w1.c1 curl C0.web http://C0.web:80/a C0w1:8001/svc1 C0.c1 C0.webs",
                exec(
                    "C0w1.c1",
                    &["curl", "100.64.0.1", "http://100.64.0.1:80/a", "10.0.0.3:8001/svc1", "10.0.0.7", "C0.webs"],
                    false,
                ),
            ),
            ("sh ip link show C0w1", exec("base", &["ip", "link", "show", "C0w1"], false)),
            ("base bridge link", exec("base", &["bridge", "link"], false)),
            ("sh ip link", exec("base", &["ip", "link"], false)),
            ("C0w1 ping C0w2 | head -1", exec("C0w1", &["sh", "-c", "ping 10.0.0.4 | head -1"], false)),
            ("C0w1.c1 python3 -m http.server &", exec("C0w1.c1", &["python3", "-m", "http.server"], true)),
            ("C0w1 a; b &", exec("C0w1", &["sh", "-c", "a; b"], true)),
            ("C0w1 echo '&'", exec("C0w1", &["echo", "&"], false)),
        ] {
            assert_eq!(parse(line, &known()), Ok(meant), "{line}");
        }
    }

    #[test]
    fn commands_are_mininets_and_knetsims() {
        for (line, meant) in [
            ("", Line::Nothing),
            ("  # a comment", Line::Nothing),
            ("help", Line::Help),
            ("help create", words(&["create", "--help"])),
            ("quit", Line::Exit),
            ("nodes", words(&["inspect", "-o", "name"])),
            ("create container C0w1.c1 -- echo 'a b'", words(&["create", "container", "C0w1.c1", "--", "echo", "a b"])),
            ("knetsim inspect", words(&["inspect"])),
            ("link C0w1 C0s0 down", Line::Link("C0w1".to_owned(), "C0s0".to_owned(), "down".to_owned())),
            ("link C0w1:eth0 down", words(&["link", "C0w1:eth0", "down"])),
            ("iperf C0w1 C0w2", Line::Iperf(Some(("C0w1".to_owned(), "C0w2".to_owned())))),
            ("source a.txt", Line::Source("a.txt".into())),
            ("C0w1", words(&["shell", "C0w1"])),
            ("py C0w1.create_container(\"c1\")", Line::Slides("create container C0w1.c1".to_owned())),
        ] {
            assert_eq!(parse(line, &known()), Ok(meant), "{line}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for (line, words) in [
            ("dance", "`dance` is neither"),
            ("C9w1 ls", "`C9w1` is neither"),
            ("C0w1 'a", "a quote"),
            ("nodes all", "stands alone"),
            ("iperf C0w1", "iperf FROM TO"),
            ("C0w1 &", "C0w1 COMMAND"),
            ("console", "this is the console"),
        ] {
            let error = parse(line, &known()).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(line in "(C0w1|sh|py|link|C0w1.c1|\\PC)?[ \\PC]{0,30}") {
            let _ = parse(&line, &known());
        }

        #[test]
        fn a_quoted_argument_arrives_as_it_is(argument in "\\PC{0,20}") {
            let line = format!("C0w1 echo x{}", words::quoted(&argument));
            let told = format!("x{argument}");
            prop_assert_eq!(parse(&line, &known()), Ok(exec("C0w1", &["echo", &told], false)));
        }
    }
}
