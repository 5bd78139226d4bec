//! Section 2: a table, a chain and a rule by hand, a packet that it counts, and all of it deleted.

use course_scene::{has_been, look};
use knetsim_sdk::records::{NftChain, NftRule, NftRuleset};
use knetsim_sdk::{AnswerKind, Command, Error, Lab, Output, Place, Result, Section, Task, Verdict};

/// What one command deletes is announced at once: within so many milliseconds. Two commands take longer.
const TOGETHER_MS: u64 = 5;

pub(crate) fn section() -> Section {
    Section::new("nftables by hand", include_str!("../text/2-nftables.md"))
        .task(chain())
        .task(rule())
        .task(packet())
        .task(handle())
        .task(delete_rule())
        .task(clean())
}

fn chain() -> Task {
    let text = "On `box`, make a table `table1` of family `ip`, and in it a chain `chain1` that packets pass which \
                box itself sends: type `filter`, hook `output`.";
    Task::new("chain", "A table and a chain", text)
        .hint("Two commands, `nft add table …` and `nft add chain …`. Both stand above with other names.")
        .hint("In a shell, `{`, `}` and `;` have to be quoted: put the part from `{` to `}` between `'` and `'`.")
        .hint("`nft add chain ip table1 chain1 '{ type filter hook output priority 0; policy accept; }'`")
        .check(|_| Ok(has_chain(&ruleset()?)))
        .solve(|lab| {
            // What was tried may hook in elsewhere.
            nft(lab, "delete table ip table1")?;
            make_chain(lab)
        })
}

fn has_chain(rules: &NftRuleset) -> Verdict {
    if !rules.tables.iter().any(|table| table.family == "ip" && table.name == "table1") {
        let other = rules.tables.iter().find(|table| table.name == "table1");
        return Verdict::missing(match other {
            Some(table) => format!("`table1` of box is of family {}, which sees other packets", table.family),
            None => "box has no table `table1`".to_owned(),
        });
    }
    let chain = rules.chains.iter().find(|chain| is_chain1(chain));
    let Some(chain) = chain else { return Verdict::missing("`table1` has no chain `chain1`") };
    let Some(hook) = &chain.hook else {
        return Verdict::missing("`chain1` is hooked in nowhere: no packet comes there unless a rule jumps to it");
    };
    Verdict::passed()
        .require(hook.hook == "output", format!("`chain1` is at the hook {}, not at output", hook.hook))
        .require(hook.kind == "filter", format!("`chain1` is of type {}, not filter", hook.kind))
}

fn is_chain1(chain: &NftChain) -> bool {
    chain.family == "ip" && chain.table == "table1" && chain.name == "chain1"
}

fn rule() -> Task {
    let text = "Add a rule to `chain1`: packets to 8.8.8.8 are counted.";
    Task::new("rule", "A rule that counts", text)
        .after("chain")
        .hint("A rule is what a packet must have, `ip daddr ADDRESS`, and then what is done with it: `counter`.")
        .hint("`nft add rule ip table1 chain1 ip daddr 8.8.8.8 counter`")
        .check(|_| {
            let rules = ruleset()?;
            let counts = match of_chain1(&rules).as_slice() {
                [] => Verdict::missing("`chain1` has no rule"),
                some if counting(some).is_some() => Verdict::passed(),
                some if some.iter().all(|rule| !is_to_eights(rule)) => {
                    Verdict::missing("no rule of `chain1` asks for the destination (`ip daddr`) 8.8.8.8")
                }
                _ => Verdict::missing("the rule for 8.8.8.8 has no `counter`"),
            };
            Ok(has_chain(&rules).and(counts))
        })
        .solve(make_rule)
}

fn packet() -> Task {
    let text = "Send one packet to 8.8.8.8 from `box`, and see it counted. (No answer comes: a sandbox isn't connected \
                to anything outside.)";
    Task::new("packet", "One packet", text)
        .after("rule")
        .hint("`ping -c 1` sends one.")
        .hint("`ping -c 1 8.8.8.8` in a shell of box, then `nft list ruleset` there.")
        .check(|_| {
            let rules = ruleset()?;
            let rules = of_chain1(&rules);
            let Some(rule) = counting(&rules) else { return Ok(Verdict::missing("there is no rule that counts")) };
            Ok(Verdict::passed().require(rule.packets > Some(0), "the rule for 8.8.8.8 has counted no packet yet"))
        })
        .solve(|lab| {
            make_rule(lab)?;
            // Nobody answers, and that is no error.
            lab.place("box").ping("8.8.8.8").map(drop)
        })
}

fn handle() -> Task {
    let text =
        "Every rule has a number in its table, its *handle*. Which one has the rule that counts packets to 8.8.8.8?";
    Task::question("handle", "Its handle", text, AnswerKind::Number)
        .after("rule")
        .hint("`nft` prints handles when it is asked to: `nft -a list ruleset`.")
        .answer(|_| {
            let rules = ruleset()?;
            let rules = of_chain1(&rules);
            let none = || Error::new("`chain1` has no rule that counts packets to 8.8.8.8: add it again");
            Ok(counting(&rules).ok_or_else(none)?.handle)
        })
        .accept(|_, given| {
            let rules = ruleset()?;
            let chain = rules.chains.iter().find(|chain| is_chain1(chain));
            let is = |handle: u64| handle.to_string() == given;
            let rule = counting(&of_chain1(&rules));
            let is_rule = rule.is_some_and(|rule| is(rule.handle));
            let what = match chain {
                _ if rule.is_none() => "there is no such rule any more: add it again, and look before you delete it",
                Some(chain) if is(chain.handle) => "that is the chain's own; the rule's stands at the end of its line",
                _ => "no such handle stands behind the rule that counts packets to 8.8.8.8",
            };
            Ok(Verdict::passed().require(is_rule, what))
        })
}

fn delete_rule() -> Task {
    let text = "Delete the rule by its handle, and leave the chain for now.";
    Task::new("delete-rule", "Delete the rule", text)
        .after("packet")
        .hint("`nft delete rule ip table1 chain1 handle NUMBER`")
        .check(|_| {
            let left = of_chain1(&ruleset()?).len();
            let what =
                "no rule of `chain1` was deleted by itself, before its chain: make both again, and delete the rule";
            Ok(was_made()?
                .require(left == 0, format!("`chain1` still has {left} of its rules"))
                .require(went_alone()?, what))
        })
        .solve(|lab| {
            make_rule(lab)?;
            nft(lab, "flush chain ip table1 chain1")?.text()?;
            Ok(())
        })
}

fn clean() -> Task {
    Task::new("clean", "Delete the rest", "Delete the chain and the table, so that box has no rules at all.")
        .after("delete-rule")
        .hint("`nft delete chain ip table1 chain1`, `nft delete table ip table1`. Then `nft list ruleset` prints nothing.")
        .check(|_| {
            let tables: Vec<_> = ruleset()?.tables.into_iter().map(|it| format!("{} {}", it.family, it.name)).collect();
            let left = format!("box still has: table {}", tables.join(", table "));
            Ok(was_made()?.require(tables.is_empty(), left))
        })
        .solve(|lab| {
            make_rule(lab)?;
            nft(lab, "flush ruleset")?.text()?;
            Ok(())
        })
}

/// In the end box looks as it did in the beginning: what the kernel announced tells the difference.
fn was_made() -> Result<Verdict> {
    let made = has_been("box", "rule", "new", "ip table1 chain1")?;
    Ok(Verdict::passed().require(made, "`chain1` of box has had no rule yet that could go"))
}

/// Whether a rule of `chain1` went while the chain stayed. Whoever cleans up goes on to delete the chain, too, so it
/// need not be there any more.
fn went_alone() -> Result<bool> {
    let entries = Lab::new().history(0)?.entries;
    let gone = |subject: &'static str| {
        entries.iter().filter(move |entry| {
            let change = &entry.change;
            entry.place == "box"
                && (change.subject.as_str(), change.verb.as_str()) == (subject, "gone")
                && change.detail.starts_with("ip table1 chain1")
        })
    };
    Ok(gone("rule").any(|rule| !gone("chain").any(|chain| chain.at_ms.abs_diff(rule.at_ms) <= TOGETHER_MS)))
}

fn ruleset() -> Result<NftRuleset> {
    look("box")?.ruleset()
}

fn of_chain1(rules: &NftRuleset) -> Vec<&NftRule> {
    let ours = |rule: &&NftRule| rule.family == "ip" && rule.table == "table1" && rule.chain == "chain1";
    rules.rules.iter().filter(ours).collect()
}

fn counting<'a>(rules: &[&'a NftRule]) -> Option<&'a NftRule> {
    rules.iter().find(|rule| rule.packets.is_some() && is_to_eights(rule)).copied()
}

/// Whether it asks for the destination 8.8.8.8, alone or as one of several.
fn is_to_eights(rule: &NftRule) -> bool {
    rule.expr.contains("\"daddr\"") && rule.expr.contains("\"8.8.8.8\"")
}

fn make_chain(lab: &Lab) -> Result<()> {
    nft(lab, "add table ip table1")?.text()?;
    nft(lab, "add chain ip table1 chain1 { type filter hook output priority 0; policy accept; }")?.text()?;
    Ok(())
}

/// The rule, where there is none yet, in a chain that is there or not.
fn make_rule(lab: &Lab) -> Result<()> {
    if counting(&of_chain1(&ruleset()?)).is_some() {
        return Ok(());
    }
    make_chain(lab)?;
    nft(lab, "add rule ip table1 chain1 ip daddr 8.8.8.8 counter")?.text()?;
    Ok(())
}

fn nft(lab: &Lab, command: &str) -> Result<Output> {
    lab.place("box").run(Command::new(["nft", command]).with_namespaces())
}
