//! What makes one state of the table another: commands of nft, applied as one batch, that touch only what differs.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::table::{Chain, TABLE, Table};

/// Commands, and the chains that lost their rules with them and are to be deleted later: kernels before 6.2 see
/// only some time after a map's element went that nothing leads to its chain any more.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(crate) script: String,
    pub(crate) stale: Vec<String>,
}

/// The commands that make the parts `old` the parts `new`; what stands in both stays as it is.
pub(crate) fn between(old: &Table, new: &Table) -> Commands {
    let mut commands = Commands::default();
    let (chains, sets) = (Changed::chains(old, new), Changed::sets(old, new));
    // First what leads to a set goes, then the set; first it is there, then something leads to it.
    for chain in chains.gone.iter().chain(&chains.changed) {
        commands.say("flush chain", chain, "");
    }
    for set in sets.gone.iter().chain(&sets.changed) {
        commands.say("delete set", set, "");
    }
    for (name, set) in new.sets.iter().filter(|(name, _)| sets.is_new(name)) {
        commands.say(&format!("add {}", set.kind), name, &format!("{{ {}; }}", set.lines.join("; ")));
    }
    for (name, chain) in new.chains.iter().filter(|(name, _)| chains.new.contains(name)) {
        commands.say("add chain", name, &block(chain));
    }
    for (name, chain) in new.chains.iter().filter(|(name, _)| chains.is_new(name)) {
        chain.rules.iter().for_each(|rule| commands.say("add rule", name, rule));
    }
    let differs = |one: &Table, other: &Table| {
        let keys = one.elements.iter().filter(|(key, rest)| other.elements.get(*key) != Some(*rest));
        keys.map(|((set, key), rest)| (set.clone(), key.clone(), rest.clone())).collect::<Vec<_>>()
    };
    for (set, key, _) in differs(old, new) {
        commands.say("delete element", &set, &format!("{{ {key} }}"));
    }
    for (set, key, rest) in differs(new, old) {
        commands.say("add element", &set, &format!("{{ {key}{rest} }}"));
    }
    commands.stale = chains.gone.into_iter().cloned().collect();
    commands
}

/// The commands that make the table what it shall be, whatever is there now.
pub(crate) fn from_nothing(new: &Table) -> String {
    let begin = format!(
        "add table ip {TABLE}\ndelete table ip {TABLE}\nadd table ip {TABLE} {{ comment \"rules for kube-proxy\"; }}\n"
    );
    begin + &between(&Table::default(), new).script
}

/// The command that deletes chains that nothing leads to.
pub(crate) fn delete_chains<'a>(chains: impl Iterator<Item = &'a String>) -> String {
    let mut commands = Commands::default();
    chains.for_each(|chain| commands.say("delete chain", chain, ""));
    commands.script
}

impl Commands {
    fn say(&mut self, verb: &str, object: &str, rest: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.script, "{verb} ip {TABLE} {object} {rest}");
    }
}

fn block(chain: &Chain) -> String {
    match &chain.header {
        None => String::new(),
        Some(header) => format!("{{ {}; }}", header.trim_end_matches(';')),
    }
}

/// Names of things of one kind, by what becomes of them.
#[derive(Default)]
struct Changed<'a> {
    gone: BTreeSet<&'a String>,
    changed: BTreeSet<&'a String>,
    new: BTreeSet<&'a String>,
}

impl<'a> Changed<'a> {
    fn chains(old: &'a Table, new: &'a Table) -> Self {
        let mut found = Changed::default();
        for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
            found.gone.insert(name);
        }
        // A set can be replaced only while nothing leads to it.
        let replaced = Changed::sets(old, new).changed;
        let leads = |chain: &Chain| replaced.iter().any(|set| chain.rules.iter().any(|rule| rule.contains(*set)));
        for (name, chain) in &new.chains {
            match old.chains.get(name) {
                None => drop(found.new.insert(name)),
                Some(there) if there != chain || leads(chain) => drop(found.changed.insert(name)),
                Some(_) => {}
            }
        }
        found
    }

    fn sets(old: &'a Table, new: &'a Table) -> Self {
        let mut found = Changed::default();
        for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
            found.gone.insert(name);
        }
        for (name, set) in &new.sets {
            match old.sets.get(name) {
                None => drop(found.new.insert(name)),
                Some(there) if there != set => drop(found.changed.insert(name)),
                Some(_) => {}
            }
        }
        found
    }

    fn is_new(&self, name: &String) -> bool {
        self.new.contains(name) || self.changed.contains(name)
    }
}
