//! What takes minutes: all numbers of downloads at once, over all rows of routers, both ways, plain and over TLS.
//! `cargo test -p knetsim-router --features nightly --test nightly`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, reason = "these are parts of tests")]

#[path = "../network/certificates.rs"]
mod certificates;
#[path = "../network/common.rs"]
mod common;
#[path = "../network/rows.rs"]
mod rows;

use rows::{Kind, ServiceAt, downloads, past_stalled_readers_of_all_kinds, rows, with_service};

const SIZE: u64 = 60_000_000;

fn all(row: &[Kind], counts: &[usize]) {
    for service in [ServiceAt::First, ServiceAt::Last] {
        for tls in [false, true] {
            downloads(row, service, tls, counts, SIZE);
        }
    }
}

#[test]
fn all_downloads_between_routers_of_this_kind() {
    use Kind::Knetsim;
    with_service(|| {
        all(&[Knetsim, Knetsim], &[1, 2, 4, 8, 16]);
        all(&[Knetsim, Knetsim, Knetsim], &[1, 2, 4, 8, 16]);
    });
}

#[test]
fn all_downloads_with_the_stand_in() {
    with_service(|| rows(Kind::StandIn).iter().for_each(|row| all(row, &[1, 2, 4, 8, 16])));
}

#[cfg(feature = "skrouterd")]
#[test]
fn all_downloads_with_skrouterd() {
    with_service(|| rows(Kind::Skrouterd).iter().for_each(|row| all(row, &[1, 2, 4, 8, 16])));
}

/// For comparison: two of them end their connection at sixteen at once, for what waits in it.
#[cfg(feature = "skrouterd")]
#[test]
fn downloads_between_two_skrouterd() {
    with_service(|| all(&[Kind::Skrouterd, Kind::Skrouterd], &[1, 2, 4]));
}

#[test]
fn many_readers_that_stall_hold_up_nobody() {
    past_stalled_readers_of_all_kinds(40, 40);
}
