//! host-local: gives out addresses of ranges, kept in files on the node
//! (containernetworking/plugins `host-local`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use knetsim_model::go_json;

use super::{Call, Command};
use crate::attachment::Attachment;
use crate::config::{self, Object};
use crate::error::Error;
use crate::result::{AddResult, Dns, Ip, Route};
use crate::version::Version;

mod ranges;
mod store;

use ranges::{RangeConfig, RangeSet};
use store::Store;

pub(crate) use store::Leases;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    ipam: Ipam,
    #[serde(default)]
    runtime_config: RuntimeConfig,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ipam {
    /// These four: one range, in the older form.
    subnet: Option<IpNet>,
    #[serde(default, deserialize_with = "config::address")]
    range_start: Option<IpAddr>,
    #[serde(default, deserialize_with = "config::address")]
    range_end: Option<IpAddr>,
    #[serde(default, deserialize_with = "config::address")]
    gateway: Option<IpAddr>,
    #[serde(default)]
    ranges: Vec<Vec<RangeConfig>>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    resolv_conf: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeConfig {
    #[serde(default)]
    ip_ranges: Vec<Vec<RangeConfig>>,
    #[serde(default, deserialize_with = "addresses")]
    ips: Vec<IpAddr>,
}

#[derive(Default, Deserialize)]
struct Args {
    #[serde(default)]
    cni: CniArgs,
}

#[derive(Default, Deserialize)]
struct CniArgs {
    #[serde(default, deserialize_with = "addresses")]
    ips: Vec<IpAddr>,
}

/// The network's folder. Every command needs it, DEL and GC nothing else: they take what they can.
fn folder(config: &Object) -> Result<String, Error> {
    let given = config::object(config, "ipam").map_or(Ok(None), |ipam| config::text_of(ipam, "dataDir"))?;
    let data_dir = given.filter(|folder| !folder.is_empty()).unwrap_or("/var/lib/cni/networks");
    Ok(format!("{data_dir}/{}", config::text(config, "name").unwrap_or_default()))
}

/// Addresses that may be written with a prefix length.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| address(text).map_err(serde::de::Error::custom)).collect()
}

fn address(text: &str) -> Result<IpAddr, ipnet::AddrParseError> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().map(|net| net.addr()),
    }
}

/// What there is to give out, and what was asked for.
struct Pool {
    sets: Vec<RangeSet>,
    wanted: Vec<IpAddr>,
    routes: Vec<Route>,
    dns: Dns,
}

pub(super) async fn run(call: Call<'_>) -> Result<Option<AddResult>, Error> {
    if matches!(call.command, Command::Add | Command::Check) {
        call.attachment.refuse_unknown_args(&["IP"])?;
    }
    let pool = || Pool::new(call, config::typed(call.config)?);
    let mut store = Store::open(&call.host.files, &call.host.leases, folder(call.config)?).await?;
    match call.command {
        Command::Add => {
            let pool = pool()?;
            let ips = pool.allocate(&mut store, call.attachment)?;
            Ok(Some(AddResult { ips, routes: pool.routes, dns: pool.dns, ..AddResult::default() }))
        }
        Command::Del => store.release_of(call.attachment).map(|()| None),
        Command::Check if store.held_by(call.attachment).is_empty() => {
            Err(Error::Failed(format!("container {} holds no address", call.attachment.container_id)))
        }
        Command::Check => Ok(None),
        Command::Gc => store.release_others(&valid_attachments(call.config)?).map(|()| None),
        Command::Status => pool()?.status(&store).map(|()| None),
    }
}

impl Pool {
    fn new(call: Call<'_>, config: Config) -> Result<Self, Error> {
        let Ipam { subnet, range_start, range_end, gateway, ranges, routes, resolv_conf, .. } = config.ipam;
        let range = subnet.map(|subnet| RangeConfig { subnet, range_start, range_end, gateway });
        let RuntimeConfig { ip_ranges, ips } = config.runtime_config;
        let configs = ip_ranges.into_iter().chain(range.map(|range| vec![range])).chain(ranges);
        let sets = configs.map(RangeSet::new).collect::<Result<Vec<_>, _>>()?;
        if sets.is_empty() {
            return Err(Error::Config("host-local: no ranges of addresses in `ipam`".to_owned()));
        }
        let version = config::version(call.config)?;
        let families = [true, false].map(|v4| sets.iter().filter(|set| set.is_ipv4() == v4).count());
        if version < Version::V0_3_0 && families.iter().any(|count| *count > 1) {
            let why = format!("CNI version {} does not support more than 1 address per family", version.as_str());
            return Err(Error::Config(why));
        }
        for (index, set) in sets.iter().enumerate() {
            if let Some(other) = sets[index + 1..].iter().find(|other| set.overlaps(other)) {
                return Err(Error::Config(format!("sets of ranges {set} and {other} overlap")));
            }
        }
        let asked = call.attachment.arg("IP").map(address).transpose();
        let asked = asked.map_err(|why| Error::Parameter(format!("CNI_ARGS: IP: {why}")))?;
        let wanted = asked.into_iter().chain(config.args.cni.ips).chain(ips).collect();
        let dns = if resolv_conf.is_empty() { Dns::default() } else { read_resolv_conf(call, &resolv_conf)? };
        Ok(Pool { sets, wanted, routes, dns })
    }

    /// One address of each set. What was taken is given back where one can't be had.
    fn allocate(&self, store: &mut Store<'_>, attachment: &Attachment) -> Result<Vec<Ip>, Error> {
        let held = store.held_by(attachment);
        if let Some(address) = held.iter().find(|address| self.sets.iter().any(|set| set.range_of(**address).is_some()))
        {
            return Err(Error::Failed(format!(
                "{address} is allocated to container {} already: ADD was called twice without DEL",
                attachment.container_id
            )));
        }
        let mut wanted: BTreeSet<IpAddr> = self.wanted.iter().copied().collect();
        let mut take = |(index, set): (usize, &RangeSet)| {
            // One of each set: a second one that is asked for stays, and is an error.
            let asked = self.wanted.iter().copied().find(|address| set.range_of(*address).is_some());
            let asked = asked.filter(|address| wanted.remove(address));
            take(store, attachment, index, set, asked)
        };
        let taken: Result<Vec<Ip>, Error> = self.sets.iter().enumerate().map(&mut take).collect();
        let taken = match (wanted.first(), taken) {
            (Some(address), Ok(_)) => {
                let in_set = self.sets.iter().any(|set| set.range_of(*address).is_some());
                let why = if in_set { "is of a set that another address is requested of" } else { "is in no range" };
                Err(Error::Failed(format!("failed to allocate all requested IPs: {address} {why}")))
            }
            (_, taken) => taken,
        };
        if taken.is_err() {
            store.release_of(attachment)?;
        }
        taken
    }

    /// Whether each set has an address left.
    fn status(&self, store: &Store<'_>) -> Result<(), Error> {
        // Of more addresses than are out, one is free.
        let out = |set: &RangeSet| store.addresses().filter(|address| set.range_of(*address).is_some()).count();
        match self.sets.iter().find(|set| set.candidates(None).nth(out(set)).is_none()) {
            Some(set) => Err(Error::Unavailable(format!("no address is free in {set}"))),
            None => Ok(()),
        }
    }
}

/// Takes the address that is asked for, or the next one that is free.
fn take(
    store: &mut Store<'_>,
    attachment: &Attachment,
    index: usize,
    set: &RangeSet,
    asked: Option<IpAddr>,
) -> Result<Ip, Error> {
    let ip = |address, range: &ranges::Range| Ip {
        address: range.with_prefix(address),
        gateway: Some(range.gateway),
        interface: None,
    };
    if let Some((address, range)) = asked.and_then(|address| Some((address, set.range_of(address)?))) {
        if address == range.gateway {
            return Err(Error::Failed(format!("the requested address {address} is the subnet's gateway")));
        }
        return match store.reserve(attachment, address, index)? {
            true => Ok(ip(address, range)),
            false => Err(Error::Failed(format!("the requested address {address} is taken"))),
        };
    }
    for (address, range) in set.candidates(store.last(index)) {
        if store.reserve(attachment, address, index)? {
            return Ok(ip(address, range));
        }
    }
    Err(Error::Failed(format!("no address is free in {set}")))
}

/// The attachments that GC must keep.
pub(super) fn valid_attachments(config: &Object) -> Result<Vec<Attachment>, Error> {
    #[derive(Deserialize)]
    struct Valid {
        #[serde(rename = "containerID")]
        container_id: String,
        ifname: String,
    }
    let Some(json) = go_json::field(config, "cni.dev/valid-attachments") else { return Ok(Vec::new()) };
    let valid: Vec<Valid> = go_json::from_value(json).map_err(Error::decode("cni.dev/valid-attachments"))?;
    let attachment =
        |valid: Valid| Attachment { ifname: valid.ifname, ..Attachment::new(&valid.container_id, None, "") };
    Ok(valid.into_iter().map(attachment).collect())
}

fn read_resolv_conf(call: Call<'_>, path: &str) -> Result<Dns, Error> {
    let missing = || Error::Config(format!("resolvConf {path} is not there"));
    let bytes = call.host.files.read(path)?.ok_or_else(missing)?;
    let mut dns = Dns::default();
    for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.nameservers.extend(words.next()),
            Some("domain") => dns.domain = words.next().unwrap_or_default(),
            Some("search") => dns.search.extend(words),
            Some("options") => dns.options.extend(words),
            _ => {}
        }
    }
    Ok(dns)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use proptest::prelude::*;

    use super::*;
    use crate::files::Files;

    /// What can happen to a folder of addresses.
    #[derive(Clone, Debug)]
    enum Event {
        Add(u8),
        Del(u8),
        /// Another process does the same with what it reads from the files.
        AddElsewhere(u8),
        DelElsewhere(u8),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0u8..12).prop_map(Event::Add),
            2 => (0u8..12).prop_map(Event::Del),
            1 => (0u8..12).prop_map(Event::AddElsewhere),
            1 => (0u8..12).prop_map(Event::DelElsewhere),
        ]
    }

    #[tokio::test]
    async fn what_can_not_be_read_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("net/10.0.0.4")).unwrap();
        let files = Files::new(Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap());
        let range = serde_json::from_str(r#"[{"subnet": "10.0.0.0/28", "rangeStart": "10.0.0.3"}]"#).unwrap();
        let sets = vec![RangeSet::new(range).unwrap()];
        let pool = Pool { sets, wanted: Vec::new(), routes: Vec::new(), dns: Dns::default() };
        // Each reads the folder anew.
        let add = async |number| {
            let leases = Leases::default();
            let mut store = Store::open(&files, &leases, "net".to_owned()).await.unwrap();
            pool.allocate(&mut store, &container(number)).unwrap()[0].address.addr().to_string()
        };
        assert_eq!(add(1).await, "10.0.0.3");
        assert_eq!(add(2).await, "10.0.0.5");
        let leases = Leases::default();
        let mut store = Store::open(&files, &leases, "net".to_owned()).await.unwrap();
        store.release_of(&container(1)).unwrap();
        assert!(!folder.path().join("net/10.0.0.3").exists());
    }

    fn container(number: u8) -> Attachment {
        Attachment { ifname: "eth0".to_owned(), ..Attachment::new(&format!("c{number}"), None, "") }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn never_twice_the_same_and_round_robin(events in prop::collection::vec(event(), 1..60)) {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::new(Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap());
            let (here, elsewhere) = (Leases::default(), Leases::default());
            let range = serde_json::from_str(r#"[{"subnet": "10.0.0.0/28", "rangeStart": "10.0.0.3", "rangeEnd": "10.0.0.10", "gateway": "10.0.0.5"}]"#);
            let sets = vec![RangeSet::new(range.unwrap()).unwrap()];
            let pool = Pool { sets, wanted: Vec::new(), routes: Vec::new(), dns: Dns::default() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let open = |leases| runtime.block_on(Store::open(&files, leases, "net".to_owned())).unwrap();

            // The model: who has the last byte of which address, and which was given out last.
            let all = [3u8, 4, 6, 7, 8, 9, 10];
            let (mut held, mut last) = (BTreeMap::<u8, u8>::new(), 10u8);
            for event in events {
                match event {
                    Event::Add(number) | Event::AddElsewhere(number) => {
                        let leases = if matches!(event, Event::Add(_)) { &here } else { &elsewhere };
                        let given = pool.allocate(&mut open(leases), &container(number));
                        let order = all.iter().filter(|byte| **byte > last).chain(all.iter().filter(|byte| **byte <= last));
                        let next = order.copied().find(|byte| !held.values().any(|other| other == byte));
                        match (held.contains_key(&number), next) {
                            (true, _) => prop_assert!(given.unwrap_err().to_string().contains("ADD was called twice")),
                            (false, None) => prop_assert!(given.unwrap_err().to_string().starts_with("no address is free")),
                            (false, Some(byte)) => {
                                let address = IpAddr::from([10, 0, 0, byte]);
                                prop_assert_eq!(given.unwrap()[0].address.addr(), address);
                                held.insert(number, byte);
                                last = byte;
                            }
                        }
                        prop_assert_eq!(pool.status(&open(leases)).is_ok(), held.len() < all.len());
                    }
                    Event::Del(number) | Event::DelElsewhere(number) => {
                        let leases = if matches!(event, Event::Del(_)) { &here } else { &elsewhere };
                        open(leases).release_of(&container(number)).unwrap();
                        held.remove(&number);
                    }
                }
            }
            let left = files.list("net").unwrap().into_iter().filter(|name| name.starts_with("10.")).count();
            prop_assert_eq!(left, held.len());
        }
    }
}
