//! What makes one state of the table another: commands of nft that touch only what differs.

use std::collections::BTreeSet;

use crate::table::{Chain, Set, TABLE, Table};

/// Commands, and the chains that lost their rules with them and are to be deleted later: kernels before 6.2 see
/// only some time after a map's element went that nothing leads to its chain any more.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Each is to be applied as a whole; between two of them, what is led to exists.
    groups: Vec<String>,
    pub(crate) stale: Vec<String>,
}

/// The commands that make the parts `old` the parts `new`; what stands in both stays as it is.
pub(crate) fn between(old: &Table, new: &Table) -> Commands {
    let mut commands = Commands::default();
    let (chains, sets) = (Changed::chains(old, new), Changed::sets(old, new));
    // What is new comes first, nothing leads there yet; what nothing leads to any more goes last.
    for (name, set) in new.sets.iter().filter(|(name, _)| sets.new.contains(name)) {
        commands.group([add_set(name, set)]);
    }
    for (name, chain) in new.chains.iter().filter(|(name, _)| chains.new.contains(name)) {
        commands.group([command("add chain", name, &block(chain))]);
    }
    for (name, chain) in new.chains.iter().filter(|(name, _)| chains.new.contains(name)) {
        rules(name, chain).for_each(|rule| commands.group([rule]));
    }
    // A set can be replaced only while nothing leads to it.
    let leads = |chain: &Chain| sets.changed.iter().any(|set| chain.rules.iter().any(|rule| rule.contains(*set)));
    let changed = new.chains.iter().filter(|(name, _)| chains.changed.contains(name));
    let (with_sets, alone): (Vec<_>, Vec<_>) = changed.partition(|(_, chain)| leads(chain));
    let flush = with_sets.iter().map(|(name, _)| command("flush chain", name, ""));
    let replace = sets.changed.iter().flat_map(|set| [command("delete set", set, ""), add_set(set, &new.sets[*set])]);
    let refill = with_sets.iter().flat_map(|(name, chain)| rules(name, chain));
    commands.group(flush.chain(replace).chain(refill));
    for (name, chain) in alone {
        commands.group([command("flush chain", name, "")].into_iter().chain(rules(name, chain)));
    }
    let keys: BTreeSet<_> = old.elements.keys().chain(new.elements.keys()).collect();
    for element @ (set, key) in keys {
        let (before, after) = (old.elements.get(element), new.elements.get(element));
        if before != after {
            let delete = before.map(|_| command("delete element", set, &format!("{{ {key} }}")));
            let add = after.map(|rest| command("add element", set, &format!("{{ {key}{rest} }}")));
            commands.group(delete.into_iter().chain(add));
        }
    }
    chains.gone.iter().for_each(|chain| commands.group([command("flush chain", chain, "")]));
    sets.gone.iter().for_each(|set| commands.group([command("delete set", set, "")]));
    commands.stale = chains.gone.into_iter().cloned().collect();
    commands
}

/// The commands that make the table what it shall be, whatever is there now.
pub(crate) fn from_nothing(new: &Table) -> Commands {
    let mut commands = between(&Table::default(), new);
    let begin = format!(
        "add table ip {TABLE}\ndelete table ip {TABLE}\nadd table ip {TABLE} {{ comment \"rules for kube-proxy\"; }}\n"
    );
    commands.groups.insert(0, begin);
    commands
}

/// The commands that delete chains that nothing leads to.
pub(crate) fn delete_chains<'a>(chains: impl Iterator<Item = &'a String>) -> Commands {
    let mut commands = Commands::default();
    chains.for_each(|chain| commands.group([command("delete chain", chain, "")]));
    commands
}

impl Commands {
    fn group(&mut self, commands: impl IntoIterator<Item = String>) {
        let group: String = commands.into_iter().collect();
        if !group.is_empty() {
            self.groups.push(group);
        }
    }

    /// As few batches as can be, of at most `room` bytes each, unless one group alone is longer.
    pub(crate) fn batches(&self, room: usize) -> Vec<String> {
        let mut batches: Vec<String> = Vec::new();
        for group in &self.groups {
            match batches.last_mut() {
                Some(last) if last.len() + group.len() <= room => last.push_str(group),
                _ => batches.push(group.clone()),
            }
        }
        batches
    }
}

fn command(verb: &str, object: &str, rest: &str) -> String {
    format!("{verb} ip {TABLE} {object} {rest}\n")
}

fn add_set(name: &str, set: &Set) -> String {
    command(&format!("add {}", set.kind), name, &format!("{{ {}; }}", set.lines.join("; ")))
}

fn rules(name: &str, chain: &Chain) -> impl Iterator<Item = String> {
    chain.rules.iter().map(move |rule| command("add rule", name, rule))
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
}
