//! A table as nft lists it: chains with their rules, sets and maps, and what is in them.
//!
//! Every text is in the form in which nft prints it, which nft reads as well: so what was loaded and what is
//! listed can be compared as text.

use std::collections::BTreeMap;

/// The table's name; its family is `ip`.
pub(crate) const TABLE: &str = "kube-proxy";

/// A table, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) chains: BTreeMap<String, Chain>,
    pub(crate) sets: BTreeMap<String, Set>,
    /// By set or map, then by key: what follows the key, such as ` : goto reject-chain`.
    pub(crate) elements: BTreeMap<(String, String), String>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its hook or its comment; none for most.
    pub(crate) header: Option<String>,
    /// Its rules, in order.
    pub(crate) rules: Vec<String>,
}

/// A set or map without what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    /// `set` or `map`.
    pub(crate) kind: &'static str,
    /// Its type, size, flags, timeout and comment, as far as it has them, in this order.
    pub(crate) lines: Vec<String>,
}

impl Table {
    /// Adds a chain with rules and without hook.
    pub(crate) fn chain(&mut self, name: &str, header: Option<&str>, rules: Vec<String>) {
        self.chains.insert(name.to_owned(), Chain { header: header.map(str::to_owned), rules });
    }

    /// Adds a set or map.
    pub(crate) fn set(&mut self, kind: &'static str, name: &str, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.sets.insert(name.to_owned(), Set { kind, lines });
    }

    /// Adds an element.
    pub(crate) fn element(&mut self, set: &str, key: String, rest: String) {
        self.elements.insert((set.to_owned(), key), rest);
    }

    /// Adds all of another.
    pub(crate) fn extend(&mut self, other: Table) {
        self.chains.extend(other.chains);
        self.sets.extend(other.sets);
        self.elements.extend(other.elements);
    }
}
