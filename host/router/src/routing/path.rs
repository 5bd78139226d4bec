//! Shortest paths over the routers' link states.
//!
//! Every router computes the same trees from the same link states: ties are broken as skrouterd's
//! `python/skupper_router_internal/router/path.py` does (lowest cost first, then lowest id, a later path only where it
//! is strictly cheaper). That is what keeps messages from going round in circles.

use std::collections::{BTreeMap, BTreeSet};

/// What each router says its links cost, by neighbour.
pub(crate) type LinkStates = BTreeMap<String, BTreeMap<String, u32>>;

/// How a router is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The neighbour that it is reached by: itself, where it is one.
    pub(crate) next_hop: String,
    /// The sum of the costs on the way.
    pub(crate) cost: u32,
    /// The routers whose messages to it come through here.
    pub(crate) origins: BTreeSet<String>,
}

/// The routes from `me` to every router that can be reached.
pub(crate) fn routes(me: &str, known: &LinkStates) -> BTreeMap<String, Route> {
    let states = with_unknown(known);
    let mine = tree(me, &states);
    let trees: Vec<(&String, Tree)> = mine.keys().map(|root| (root, tree(root, &states))).collect();
    mine.iter()
        .map(|(router, (cost, _))| {
            let through = |(_, tree): &&(&String, Tree)| way(tree, router).any(|hop| hop == me);
            let origins = trees.iter().filter(through).map(|(root, _)| (*root).clone()).collect();
            let next_hop = way(&mine, router).take_while(|hop| *hop != me).last().unwrap_or(router);
            (router.clone(), Route { next_hop: next_hop.to_owned(), cost: *cost, origins })
        })
        .collect()
}

/// Routers that others name as neighbours but that haven't spoken yet are taken to have a link back, so that they can
/// be asked.
fn with_unknown(known: &LinkStates) -> LinkStates {
    let mut states = known.clone();
    for (router, peers) in known {
        for peer in peers.keys().filter(|peer| !known.contains_key(*peer)) {
            states.entry(peer.clone()).or_insert_with(|| BTreeMap::from([(router.clone(), 1)]));
        }
    }
    states
}

/// Cost and the hop before, of every router that the root reaches; the root isn't in it.
type Tree = BTreeMap<String, (u32, String)>;

fn tree(root: &str, states: &LinkStates) -> Tree {
    let mut best: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
    let mut open = BTreeSet::from([(0u32, root)]);
    let mut done = BTreeSet::new();
    while let Some((cost, router)) = open.pop_first() {
        done.insert(router);
        for (peer, hop) in states.get(router).into_iter().flatten() {
            let peer = peer.as_str();
            let cost = cost.saturating_add(*hop);
            if done.contains(peer) || best.get(peer).is_some_and(|(before, _)| *before <= cost) {
                continue;
            }
            if let Some((before, _)) = best.insert(peer, (cost, router)) {
                open.remove(&(before, peer));
            }
            open.insert((cost, peer));
        }
    }
    best.into_iter().map(|(router, (cost, before))| (router.to_owned(), (cost, before.to_owned()))).collect()
}

/// The hops from `router` back to a tree's root, both included where the tree has them.
fn way<'a>(tree: &'a Tree, router: &'a str) -> impl Iterator<Item = &'a str> {
    std::iter::successors(Some(router), |hop| tree.get(*hop).map(|(_, before)| before.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn states(links: &[(&str, &str, u32)]) -> LinkStates {
        let mut states = LinkStates::new();
        for (a, b, cost) in links {
            states.entry((*a).to_owned()).or_default().insert((*b).to_owned(), *cost);
            states.entry((*b).to_owned()).or_default().insert((*a).to_owned(), *cost);
        }
        states
    }

    #[test]
    fn the_cheapest_way_wins_not_the_shortest() {
        let states = states(&[("a", "b", 10), ("a", "c", 1), ("c", "d", 1), ("d", "b", 1)]);
        let routes = routes("a", &states);
        assert_eq!((routes["b"].next_hop.as_str(), routes["b"].cost), ("c", 3));
        assert_eq!(routes["d"].next_hop, "c");
        assert!(!routes.contains_key("a"));
    }

    #[test]
    fn origins_are_those_whose_way_leads_here() {
        let states = states(&[("a", "b", 1), ("b", "c", 1)]);
        let routes = routes("b", &states);
        assert_eq!(routes["c"].origins, BTreeSet::from(["a".to_owned()]));
        assert_eq!(routes["a"].origins, BTreeSet::from(["c".to_owned()]));
    }

    #[test]
    fn a_router_that_only_others_speak_of_is_reached() {
        let known = LinkStates::from([
            ("a".to_owned(), BTreeMap::from([("b".to_owned(), 2)])),
            ("b".to_owned(), BTreeMap::from([("a".to_owned(), 2), ("new".to_owned(), 1)])),
        ]);
        assert_eq!(routes("a", &known)["new"].next_hop, "b");
    }

    #[test]
    fn what_is_cut_off_has_no_route() {
        let states = states(&[("a", "b", 1), ("c", "d", 1)]);
        assert_eq!(routes("a", &states).keys().collect::<Vec<_>>(), ["b"]);
    }

    proptest! {
        /// From anywhere to anywhere, following each router's own next hop, messages arrive and pass none twice;
        /// and each router on the way takes the origin for one whose messages may come through.
        #[test]
        fn hop_by_hop_messages_arrive(links in proptest::collection::vec((0u8..7, 0u8..7, 1u32..4), 1..16)) {
            let name = |n: u8| format!("r{n}");
            let mut states = LinkStates::new();
            for (a, b, cost) in links.into_iter().filter(|(a, b, _)| a != b) {
                states.entry(name(a)).or_default().entry(name(b)).or_insert(cost);
                let cost = states[&name(a)][&name(b)];
                states.entry(name(b)).or_default().insert(name(a), cost);
            }
            let all: BTreeMap<_, _> = states.keys().map(|router| (router, routes(router, &states))).collect();
            for (origin, of_origin) in &all {
                for target in of_origin.keys() {
                    let mut at = (*origin).clone();
                    for hops in 0.. {
                        prop_assert!(hops < 8, "{origin} to {target} goes in circles");
                        let route = &all[&at][target];
                        prop_assert!(&at == *origin || route.origins.contains(*origin));
                        at = route.next_hop.clone();
                        if &at == target { break; }
                    }
                }
            }
        }
    }
}
