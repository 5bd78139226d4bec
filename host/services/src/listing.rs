//! What nft lists, read back; and how it differs from what should be there, in words.
//!
//! As a command: `nft list table ip kube-proxy`.

use std::collections::BTreeSet;

use crate::table::{Chain, Set, Table};

/// Differences that are told one by one; the rest is counted.
const TOLD: usize = 8;
/// How the names of sets that clients' addresses come into begin: these are nobody's drift.
const AFFINITY: &str = "affinity-";

/// Reads a listed table. What is not understood is left out: then something that should be there is missing.
pub(crate) fn parse(text: &str) -> Table {
    let mut table = Table::default();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(head) = line.strip_suffix(" {") else { continue };
        let body: Vec<&str> = match head.split_once(' ') {
            Some(("chain" | "set" | "map", _)) => lines.by_ref().take_while(|line| *line != "}").collect(),
            _ => continue,
        };
        match head.split_once(' ') {
            Some(("chain", name)) => drop(table.chains.insert(name.to_owned(), chain(&body))),
            Some(("set", name)) => set(&mut table, "set", name, &body),
            Some(("map", name)) => set(&mut table, "map", name, &body),
            _ => {}
        }
    }
    table
}

fn chain(body: &[&str]) -> Chain {
    let is_header = |line: &str| line.starts_with("type ") || line.starts_with("comment \"");
    let header = body.first().filter(|line| is_header(line)).map(|line| (*line).to_owned());
    let rules = body.iter().skip(usize::from(header.is_some())).map(|line| (*line).to_owned()).collect();
    Chain { header, rules }
}

fn set(table: &mut Table, kind: &'static str, name: &str, body: &[&str]) {
    let declared = body.iter().position(|line| line.starts_with("elements = {")).unwrap_or(body.len());
    let (lines, elements) = body.split_at(declared);
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    table.sets.insert(name.to_owned(), Set { kind, lines });
    let elements = elements.join(" ");
    let elements = elements.trim_start_matches("elements = {").trim_end_matches('}');
    for element in elements.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        // A comment stands before what the key leads to.
        let end = element.find(" comment ").or_else(|| element.find(" : ")).unwrap_or(element.len());
        let (key, rest) = element.split_at(end);
        table.element(name, key.to_owned(), rest.to_owned());
    }
}

/// What differs, in words. `ignored` are chains that are empty and will go.
pub(crate) fn differences(wanted: &Table, seen: Option<Table>, ignored: &BTreeSet<&String>) -> Vec<String> {
    let Some(mut seen) = seen else { return vec!["table ip kube-proxy is missing".to_owned()] };
    seen.elements.retain(|(set, _), _| !set.starts_with(AFFINITY));
    seen.chains.retain(|name, chain| !chain.rules.is_empty() || !ignored.contains(name));
    let mut words = Vec::new();
    for (name, chain) in &wanted.chains {
        match seen.chains.get(name) {
            None => words.push(format!("chain {name} is missing")),
            Some(there) => rules(name, chain, there, &mut words),
        }
    }
    words.extend(strangers("chain", wanted.chains.keys(), seen.chains.keys()));
    for (name, set) in &wanted.sets {
        match seen.sets.get(name) {
            None => words.push(format!("{} {name} is missing", set.kind)),
            Some(there) if there != set => words.push(format!("{} {name} is not what it was", set.kind)),
            Some(_) => {}
        }
    }
    words.extend(strangers("set", wanted.sets.keys(), seen.sets.keys()));
    for ((set, key), rest) in &wanted.elements {
        match seen.elements.get(&(set.clone(), key.clone())) {
            None => words.push(format!("{set} lacks {key}")),
            Some(there) if there != rest => words.push(format!("{set} has {key}{there}, not {key}{rest}")),
            Some(_) => {}
        }
    }
    let more = seen.elements.keys().filter(|element| !wanted.elements.contains_key(*element));
    words.extend(more.map(|(set, key)| format!("{set} has {key}, which no service asks for")));
    let rest = words.len().saturating_sub(TOLD);
    words.truncate(TOLD);
    if rest > 0 {
        words.push(format!("and {rest} more"));
    }
    words.iter_mut().for_each(|word| word.insert_str(0, "table ip kube-proxy: "));
    words
}

fn rules(name: &str, wanted: &Chain, there: &Chain, words: &mut Vec<String>) {
    if wanted.header != there.header {
        words.push(format!("chain {name} has another hook or comment"));
    }
    let lacks = wanted.rules.iter().filter(|rule| !there.rules.contains(rule));
    let missing: Vec<_> = lacks.map(|rule| format!("chain {name} lacks the rule `{rule}`")).collect();
    let more = there.rules.iter().filter(|rule| !wanted.rules.contains(rule));
    let more: Vec<_> = more.map(|rule| format!("chain {name} has the rule `{rule}`, which is not its own")).collect();
    if missing.is_empty() && more.is_empty() && wanted.rules != there.rules {
        words.push(format!("the rules of chain {name} stand in another order, or twice"));
    }
    words.extend(missing.into_iter().chain(more));
}

fn strangers<'a>(
    kind: &str,
    wanted: impl Iterator<Item = &'a String>,
    seen: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let wanted: BTreeSet<_> = wanted.collect();
    seen.filter(|name| !wanted.contains(name)).map(|name| format!("{kind} {name} is of somebody else")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "table ip kube-proxy {
	comment \"rules for kube-proxy\"
	set cluster-ips {
		type ipv4_addr
		comment \"Active ClusterIPs\"
		elements = { 100.64.10.1, 100.64.10.2,
			     100.64.10.3 }
	}

	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 100.64.10.1 . tcp . 80 comment \"default/web\" : goto a,
			     100.64.10.2 . udp . 53 : goto b }
	}

	chain nat-output {
		type nat hook output priority -100; policy accept;
		jump services
	}

	chain empty {
	}
}
";

    #[test]
    fn a_listing_is_read() {
        let table = parse(LISTED);
        assert_eq!(table.chains.keys().collect::<Vec<_>>(), ["empty", "nat-output"]);
        assert_eq!(table.chains["nat-output"].rules, ["jump services"]);
        assert_eq!(table.sets["cluster-ips"].lines, ["type ipv4_addr", "comment \"Active ClusterIPs\""]);
        let of = |set: &str| {
            table
                .elements
                .iter()
                .filter(|((of, _), _)| of == set)
                .map(|((_, key), rest)| (key.as_str(), rest.as_str()))
                .collect::<Vec<_>>()
        };
        assert_eq!(of("cluster-ips"), [("100.64.10.1", ""), ("100.64.10.2", ""), ("100.64.10.3", "")]);
        let maps =
            [("100.64.10.1 . tcp . 80", " comment \"default/web\" : goto a"), ("100.64.10.2 . udp . 53", " : goto b")];
        assert_eq!(of("service-ips"), maps);
    }

    #[test]
    fn each_difference_is_told() {
        let wanted = parse(LISTED);
        let told = |change: fn(&mut Table)| {
            let mut seen = wanted.clone();
            change(&mut seen);
            differences(&wanted, Some(seen), &BTreeSet::new()).join("; ")
        };
        assert_eq!(told(|_| {}), "");
        assert!(differences(&wanted, None, &BTreeSet::new())[0].contains("missing"));
        for (change, word) in [
            ((|table| drop(table.chains.remove("empty"))) as fn(&mut Table), "chain empty is missing"),
            (|table| table.chain("mine", None, Vec::new()), "chain mine is of somebody else"),
            (|table| table.chain("nat-output", None, vec!["jump services".into()]), "another hook"),
            (|table| table.chains.values_mut().for_each(|chain| chain.rules.clear()), "lacks the rule `jump services`"),
            (
                |table| table.chains.values_mut().for_each(|chain| chain.rules.push("drop".into())),
                "has the rule `drop`",
            ),
            (|table| table.element("cluster-ips", "1.1.1.1".into(), String::new()), "cluster-ips has 1.1.1.1"),
            (|table| table.elements.clear(), "service-ips lacks 100.64.10.2 . udp . 53"),
            (|table| drop(table.sets.remove("cluster-ips")), "set cluster-ips is missing"),
        ] {
            assert!(told(change).contains(word), "{word}: {}", told(change));
        }
    }

    #[test]
    fn what_goes_later_is_no_difference() {
        let (stale, wanted) = ("empty".to_owned(), parse(LISTED));
        let mut without = wanted.clone();
        without.chains.remove(&stale);
        assert_eq!(differences(&without, Some(wanted), &BTreeSet::from([&stale])), Vec::<String>::new());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[a-z{}:,. \t\n\"]{0,200}") {
            parse(&text);
        }
    }
}
