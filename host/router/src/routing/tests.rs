use super::*;

/// Routers joined by links that deliver at once; a link is a connection number at either end.
struct Network {
    now: Instant,
    routers: BTreeMap<&'static str, Routing>,
    /// Each link's ends and cost; its number is its place.
    links: Vec<Option<(&'static str, &'static str, u32)>>,
}

fn routing(id: &str, now: Instant) -> Routing {
    let config = Config::parse(&format!(r#"[["router", {{"id": "{id}"}}]]"#), true).unwrap();
    Routing::new(&config, 1, now)
}

impl Network {
    fn new(ids: &[&'static str]) -> Self {
        let now = Instant::now();
        let routers = ids.iter().map(|id| (*id, routing(id, now))).collect();
        Network { now, routers, links: Vec::new() }
    }

    fn link(&mut self, a: &'static str, b: &'static str, cost: u32) -> usize {
        let number = self.links.len();
        self.links.push(Some((a, b, cost)));
        for id in [a, b] {
            self.routers.get_mut(id).unwrap().connected(number);
        }
        self.deliver();
        number
    }

    fn cut(&mut self, link: usize) {
        let (a, b, _) = self.links[link].take().unwrap();
        for id in [a, b] {
            self.routers.get_mut(id).unwrap().disconnected(link, self.now);
        }
        self.deliver();
    }

    fn other_end(&self, link: usize, id: &str) -> Option<(&'static str, u32)> {
        let (a, b, cost) = self.links[link]?;
        Some((if a == id { b } else { a }, cost))
    }

    /// Hands over what is to be sent until nobody says anything any more.
    fn deliver(&mut self) {
        for round in 0.. {
            assert!(round < 60, "the routers don't stop talking");
            let mut quiet = true;
            for id in self.routers.keys().copied().collect::<Vec<_>>() {
                for (to, control) in self.routers.get_mut(id).unwrap().take_outgoing() {
                    quiet = false;
                    self.send(id, id, &to, &control);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn send(&mut self, from: &'static str, at: &'static str, to: &To, control: &Control) {
        let origin = (from != at).then_some(from);
        let routing = &self.routers[at];
        let links: Vec<usize> = match to {
            To::Neighbours => (0..self.links.len())
                .filter(|link| self.links[*link].is_some_and(|(a, b, _)| a == at || b == at))
                .collect(),
            To::Connection(link) => vec![*link],
            To::Router(id) => routing.connection_to(id).into_iter().collect(),
            To::All => routing.connections_to_all(origin).into_iter().collect(),
        };
        for link in links {
            let Some((peer, cost)) = self.other_end(link, at) else { continue };
            let for_peer = !matches!(to, To::Router(id) if id != peer);
            if for_peer {
                self.routers.get_mut(peer).unwrap().receive(link, cost, from, control.clone(), self.now);
            }
            if *to == To::All || !for_peer {
                self.send(from, peer, to, control);
            }
        }
    }

    fn tick(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.routers.values_mut().for_each(|routing| routing.tick(self.now));
            self.deliver();
        }
    }

    fn destinations(&self, id: &str, address: &str) -> Vec<(String, u32)> {
        let found = self.routers[id].destinations(address, None);
        found.into_iter().map(|destination| (destination.router, destination.cost)).collect()
    }

    fn serve(&mut self, id: &str, address: &str, on: bool) {
        let now = self.now;
        let distribution = on.then_some(Distribution::Balanced);
        self.routers.get_mut(id).unwrap().set_local(address, distribution, now);
        self.deliver();
    }
}

fn one(router: &str, cost: u32) -> Vec<(String, u32)> {
    vec![(router.to_owned(), cost)]
}

#[test]
fn a_link_is_usable_without_waiting_for_a_tick() {
    let mut network = Network::new(&["a", "b"]);
    network.serve("b", "web", true);
    network.link("a", "b", 1);
    assert_eq!(network.destinations("a", "web"), one("b", 1));
}

#[test]
fn an_address_is_learnt_over_a_transit_router_and_withdrawn() {
    let mut network = Network::new(&["a", "b", "c"]);
    network.link("a", "b", 2);
    network.link("b", "c", 3);
    network.serve("c", "web", true);
    assert_eq!(network.destinations("a", "web"), one("c", 5));
    network.serve("c", "web", false);
    assert_eq!(network.destinations("a", "web"), []);
}

#[test]
fn when_a_link_goes_the_next_best_way_is_taken() {
    let mut network = Network::new(&["a", "b", "c"]);
    let direct = network.link("a", "c", 1);
    network.link("a", "b", 4);
    network.link("b", "c", 4);
    network.serve("c", "web", true);
    assert_eq!(network.destinations("a", "web"), one("c", 1));
    network.cut(direct);
    assert_eq!(network.destinations("a", "web"), one("c", 8));
    network.link("a", "c", 1);
    assert_eq!(network.destinations("a", "web"), one("c", 1));
}

#[test]
fn a_neighbour_that_falls_silent_is_gone_after_its_greetings_age() {
    let mut network = Network::new(&["a", "b"]);
    network.link("a", "b", 1);
    network.serve("b", "web", true);
    network.tick(5);
    assert_eq!(network.destinations("a", "web"), one("b", 1));
    // The cable is cut: nothing arrives, and nobody is told.
    network.links[0] = None;
    network.tick(3);
    assert_eq!(network.destinations("a", "web").len(), 1, "greetings may be late by less than their age");
    network.tick(1);
    assert_eq!(network.destinations("a", "web"), []);
    // And it is mended.
    network.links[0] = Some(("a", "b", 1));
    network.tick(2);
    assert_eq!(network.destinations("a", "web"), one("b", 1));
}

#[test]
fn what_a_router_offers_while_it_is_cut_off_is_known_when_it_is_back() {
    let mut network = Network::new(&["a", "b", "c"]);
    let link = network.link("a", "b", 1);
    network.link("b", "c", 1);
    network.cut(link);
    network.serve("c", "web", true);
    assert_eq!(network.destinations("a", "web"), []);
    network.link("a", "b", 1);
    network.tick(1);
    assert_eq!(network.destinations("a", "web"), one("c", 2));
}

#[test]
fn a_second_connection_to_a_neighbour_takes_over_when_the_first_goes() {
    let mut network = Network::new(&["a", "b"]);
    network.serve("b", "web", true);
    let first = network.link("a", "b", 1);
    let second = network.link("a", "b", 1);
    network.tick(2);
    assert_eq!(network.routers["a"].connection_to("b"), Some(first));
    network.cut(first);
    network.tick(2);
    assert_eq!(network.routers["a"].connection_to("b"), Some(second));
    assert_eq!(network.destinations("a", "web"), one("b", 1));
}

#[test]
fn a_router_that_restarted_is_asked_again() {
    let mut network = Network::new(&["a", "b"]);
    let link = network.link("a", "b", 1);
    network.serve("b", "old", true);
    network.cut(link);
    let mut again = routing("b", network.now);
    again.instance = 2;
    network.routers.insert("b", again);
    network.serve("b", "new", true);
    network.link("a", "b", 1);
    assert_eq!(network.destinations("a", "old"), []);
    assert_eq!(network.destinations("a", "new"), one("b", 1));
}

#[test]
fn routers_out_of_nowhere_are_bounded() {
    let now = Instant::now();
    let mut routing = routing("a", now);
    for n in 0..2 * MAX_ROUTERS {
        routing.receive(0, 1, &format!("r{n}"), Control::AskLinks, now);
    }
    assert!(routing.nodes.len() <= MAX_ROUTERS);
    for _ in 0..4 {
        routing.tick(now);
    }
    assert!(routing.nodes.is_empty(), "nobody speaks of them");
}
