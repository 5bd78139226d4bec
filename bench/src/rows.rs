//! What is measured, and what it should come to.

/// Who runs a sample, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In network and mount namespaces made for it, as whoever runs the benchmark.
    Namespaces,
    /// The same in a user namespace too, as an ordinary user.
    User,
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

const FLOOR: Source = Source("floor underlay", "ms");

pub(crate) const SERIES: &[Series] = &[
    Series { name: "floor underlay", place: Place::Namespaces, program: Program::Sample("floor-underlay") },
    Series { name: "floor underlay, user", place: Place::User, program: Program::Sample("floor-underlay") },
    Series { name: "mininet", place: Place::Namespaces, program: Program::Mininet },
    Series { name: "floor containers", place: Place::Namespaces, program: Program::Sample("floor-containers") },
    Series { name: "path", place: Place::Namespaces, program: Program::Sample("path-by-hand") },
];

const fn row(what: &'static str, source: Source, unit: &'static str, goal: Goal) -> Row {
    Row { what, source, unit, goal }
}

pub(crate) const ROWS: &[Row] = &[
    row("underlay 2 x (2 + 3): netlink floor", FLOOR, "ms", Goal::None),
    row(
        "underlay: floor as an ordinary user",
        Source("floor underlay, user", "ms"),
        "ms",
        Goal::TimesAtMost(FLOOR, 2.0),
    ),
    row("underlay: Mininet", Source("mininet", "ms"), "ms", Goal::TimesAtLeast(FLOOR, 10.0)),
    row("underlay: Mininet's stop", Source("mininet", "stop_ms"), "ms", Goal::None),
    row("container, 10 there: netlink floor", Source("floor containers", "us_at_10"), "us", Goal::None),
    row("container, 500 there: netlink floor", Source("floor containers", "us_at_500"), "us", Goal::None),
    row("one worker, by hand: throughput", Source("path", "one_worker_gbps"), "Gb/s", Goal::None),
    row("VXLAN, by hand: throughput", Source("path", "vxlan_gbps"), "Gb/s", Goal::None),
    row("one worker, by hand: least round trip", Source("path", "one_worker_us"), "us", Goal::None),
    row("VXLAN, by hand: least round trip", Source("path", "vxlan_us"), "us", Goal::None),
];
