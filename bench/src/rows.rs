//! What is measured, and what it should come to.

/// Who runs a sample, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In network and mount namespaces made for it, as whoever runs the benchmark.
    Namespaces,
    /// The same in a user namespace too, as an ordinary user.
    UserNamespaces,
    /// Where the benchmark is: the sample makes a sandbox.
    Here,
    /// The same as an ordinary user.
    HereAsUser,
}

/// A sample that is taken once a round: `knetsim-bench sample ...`, or Mininet.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) program: Program,
}

/// What a series runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// This program's own sample of that name.
    Sample(&'static str),
    /// The sample `skrouterd`, where that is on PATH.
    Skrouterd,
    /// Mininet, where its Debian package is installed.
    Mininet,
}

/// What a row's median is held against.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// It is there to compare with.
    None,
    /// No more than this, in the row's unit.
    AtMost(f64),
    /// The median of the rounds' ratios to another figure is no more than this.
    TimesAtMost(Source, f64),
    /// The median of the rounds' ratios to another figure is no less than this.
    TimesAtLeast(Source, f64),
}

/// A figure of a series.
#[derive(Clone, Copy)]
pub(crate) struct Source(pub(crate) &'static str, pub(crate) &'static str);

/// A line of the table.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) source: Source,
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
}

pub(crate) const CLUSTERS: u32 = 2;
pub(crate) const WORKERS: u32 = 3;
/// Containers in one sample: the last 20 are made where there are 500.
pub(crate) const CONTAINERS: u32 = 510;

const fn series(name: &'static str, place: Place, sample: &'static str) -> Series {
    Series { name, place, program: Program::Sample(sample) }
}

pub(crate) const SERIES: &[Series] = &[
    series("floor underlay", Place::Namespaces, "floor-underlay"),
    series("underlay", Place::Here, "underlay"),
    series("user's underlay", Place::HereAsUser, "underlay"),
    series("user's floor underlay", Place::UserNamespaces, "floor-underlay"),
    Series { name: "mininet", place: Place::Namespaces, program: Program::Mininet },
    series("floor containers", Place::Namespaces, "floor-containers"),
    series("containers", Place::Here, "containers"),
    series("etcd", Place::Here, "etcd"),
    series("whole", Place::Here, "whole"),
    series("user's whole", Place::HereAsUser, "whole"),
    series("workers", Place::Here, "workers"),
    series("path", Place::Here, "path"),
    series("lab", Place::Here, "lab"),
    series("services", Place::Here, "services"),
    series("ingress", Place::Here, "ingress"),
    series("router", Place::Namespaces, "router"),
    Series { name: "skrouterd", place: Place::Namespaces, program: Program::Skrouterd },
];

const fn row(what: &'static str, source: Source, unit: &'static str, goal: Goal) -> Row {
    Row { what, source, unit, goal }
}

const FLOOR: Source = Source("floor underlay", "ms");
const MININET: Source = Source("mininet", "ms");
const UNDERLAY: Source = Source("underlay", "ms");
const FEW: Source = Source("containers", "us_at_10");
const FLOOR_FEW: Source = Source("floor containers", "us_at_10");
const FLOOR_MANY: Source = Source("floor containers", "us_at_500");
const MANY: Source = Source("containers", "us_at_500");
const BY_HAND: [Source; 4] = [
    Source("path", "hand_one_worker_gbps"),
    Source("path", "hand_vxlan_gbps"),
    Source("path", "hand_one_worker_us"),
    Source("path", "hand_vxlan_us"),
];

const CHANGE_AT_10: Source = Source("services", "change_10_ms");
const CONNECT_AT_10: Source = Source("services", "connect_10_us");
const MAPS_CHANGE_AT_10: Source = Source("services", "maps_change_10_ms");
const MAPS_CONNECT_AT_10: Source = Source("services", "maps_connect_10_us");

const STREAM: [Source; 3] =
    [Source("router", "direct_gbps"), Source("router", "plain_gbps"), Source("router", "tls_gbps")];
const REQUESTS: [Source; 2] = [Source("router", "direct_requests"), Source("router", "plain_requests")];
const CONNECTIONS: [Source; 2] = [Source("router", "direct_connections"), Source("router", "plain_connections")];

pub(crate) const ROWS: &[Row] = &[
    row("underlay 2 x (2 + 3): netlink floor", FLOOR, "ms", Goal::None),
    row("  knetsim, mounts included", UNDERLAY, "ms", Goal::TimesAtMost(FLOOR, 2.0)),
    row("  knetsim as an ordinary user", Source("user's underlay", "ms"), "ms", Goal::TimesAtMost(FLOOR, 2.0)),
    row("  floor as an ordinary user", Source("user's floor underlay", "ms"), "ms", Goal::None),
    row("  Mininet, held against knetsim", MININET, "ms", Goal::TimesAtLeast(UNDERLAY, 10.0)),
    row("  Mininet's stop", Source("mininet", "stop_ms"), "ms", Goal::None),
    row("container where there are 10: netlink floor", FLOOR_FEW, "us", Goal::None),
    row("  knetsim, by CNI", FEW, "us", Goal::TimesAtMost(FLOOR_FEW, 2.0)),
    row("container where there are 500: netlink floor", FLOOR_MANY, "us", Goal::None),
    row("  knetsim, by CNI", MANY, "us", Goal::TimesAtMost(FLOOR_MANY, 2.0)),
    row("  held against the one where there are 10", MANY, "us", Goal::TimesAtMost(FEW, 1.5)),
    row("memory of a container", Source("containers", "kib"), "KiB", Goal::AtMost(16.0)),
    row("memory of a worker with its agent", Source("workers", "kib"), "KiB", Goal::AtMost(256.0)),
    row("etcd: two members answer", Source("etcd", "ms"), "ms", Goal::AtMost(500.0)),
    row("knetsim up: two clusters, all of it", Source("whole", "up_ms"), "ms", Goal::AtMost(1000.0)),
    row("  as an ordinary user", Source("user's whole", "up_ms"), "ms", Goal::AtMost(1000.0)),
    row("knetsim down", Source("whole", "down_ms"), "ms", Goal::AtMost(50.0)),
    row("  as an ordinary user", Source("user's whole", "down_ms"), "ms", Goal::AtMost(50.0)),
    row("lab: a call of a resource", Source("lab", "call_us"), "us", Goal::AtMost(1.0)),
    row("lab: ready, compiled before", Source("lab", "ready_ms"), "ms", Goal::AtMost(5.0)),
    row("1000 services of 3 endpoints, from nothing", Source("services", "from_nothing_ms"), "ms", Goal::None),
    row("one of 10 services loses an endpoint", CHANGE_AT_10, "ms", Goal::None),
    row("  one of 1000", Source("services", "change_1000_ms"), "ms", Goal::TimesAtMost(CHANGE_AT_10, 2.0)),
    row("  one of 5000", Source("services", "change_5000_ms"), "ms", Goal::TimesAtMost(CHANGE_AT_10, 2.0)),
    row("a new connection to one of 10 services", CONNECT_AT_10, "us", Goal::None),
    row("  to one of 5000", Source("services", "connect_5000_us"), "us", Goal::TimesAtMost(CONNECT_AT_10, 1.3)),
    row("1000 services by maps, from nothing", Source("services", "maps_from_nothing_ms"), "ms", Goal::None),
    row("one of 10 by maps loses an endpoint", MAPS_CHANGE_AT_10, "ms", Goal::None),
    row("  one of 1000", Source("services", "maps_change_1000_ms"), "ms", Goal::TimesAtMost(MAPS_CHANGE_AT_10, 2.0)),
    row("  one of 5000", Source("services", "maps_change_5000_ms"), "ms", Goal::TimesAtMost(MAPS_CHANGE_AT_10, 2.0)),
    row("a new connection to one of 10 by maps", MAPS_CONNECT_AT_10, "us", Goal::None),
    row(
        "  to one of 5000",
        Source("services", "maps_connect_5000_us"),
        "us",
        Goal::TimesAtMost(MAPS_CONNECT_AT_10, 1.3),
    ),
    row("an ingress is changed", Source("ingress", "change_ms"), "ms", Goal::AtMost(15.0)),
    row("throughput on one worker: by hand", BY_HAND[0], "Gb/s", Goal::None),
    row("  knetsim", Source("path", "ours_one_worker_gbps"), "Gb/s", Goal::TimesAtLeast(BY_HAND[0], 0.95)),
    row("throughput over VXLAN: by hand", BY_HAND[1], "Gb/s", Goal::None),
    row("  knetsim", Source("path", "ours_vxlan_gbps"), "Gb/s", Goal::TimesAtLeast(BY_HAND[1], 0.95)),
    row("least round trip on one worker: by hand", BY_HAND[2], "us", Goal::None),
    row("  knetsim", Source("path", "ours_one_worker_us"), "us", Goal::TimesAtMost(BY_HAND[2], 1.05)),
    row("least round trip over VXLAN: by hand", BY_HAND[3], "us", Goal::None),
    row("  knetsim", Source("path", "ours_vxlan_us"), "us", Goal::TimesAtMost(BY_HAND[3], 1.05)),
    row("one TCP stream: direct", STREAM[0], "Gb/s", Goal::None),
    row("  over two routers", STREAM[1], "Gb/s", Goal::TimesAtLeast(STREAM[0], 0.28)),
    row("  with mutual TLS between them", STREAM[2], "Gb/s", Goal::TimesAtLeast(STREAM[0], 0.2)),
    row("  over two skrouterd", Source("skrouterd", "plain_gbps"), "Gb/s", Goal::TimesAtMost(STREAM[1], 1.0)),
    row("  with mutual TLS between them", Source("skrouterd", "tls_gbps"), "Gb/s", Goal::TimesAtMost(STREAM[2], 1.0)),
    row("requests of 16 clients: direct", REQUESTS[0], "/s", Goal::None),
    row("  over two routers", REQUESTS[1], "/s", Goal::TimesAtLeast(REQUESTS[0], 0.18)),
    row("  over two skrouterd", Source("skrouterd", "plain_requests"), "/s", Goal::TimesAtMost(REQUESTS[1], 1.0)),
    row("new connections of 16 clients: direct", CONNECTIONS[0], "/s", Goal::None),
    row("  over two routers", CONNECTIONS[1], "/s", Goal::TimesAtLeast(CONNECTIONS[0], 0.22)),
    row("  over two skrouterd", Source("skrouterd", "plain_connections"), "/s", Goal::TimesAtMost(CONNECTIONS[1], 1.0)),
    row("processor's time of two routers", Source("router", "plain_seconds_per_gb"), "s/GB", Goal::AtMost(1.3)),
    row("  with mutual TLS between them", Source("router", "tls_seconds_per_gb"), "s/GB", Goal::AtMost(1.8)),
    row("  of two skrouterd", Source("skrouterd", "plain_seconds_per_gb"), "s/GB", Goal::None),
    row("  with mutual TLS between them", Source("skrouterd", "tls_seconds_per_gb"), "s/GB", Goal::None),
    row("memory of an idle router", Source("router", "idle_mb"), "MB", Goal::AtMost(27.0)),
    row("  of skrouterd", Source("skrouterd", "idle_mb"), "MB", Goal::None),
    row("memory of an open flow in a router", Source("router", "flow_kb"), "kB", Goal::AtMost(70.0)),
    row("  in skrouterd", Source("skrouterd", "flow_kb"), "kB", Goal::None),
];
