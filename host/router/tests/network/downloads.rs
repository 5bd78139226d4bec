//! Downloads at once, through routers of several kinds: whole, side by side, and past readers that have stalled.

use crate::rows::{FRAME, Kind, LONGEST_FRAME, ServiceAt, downloads, has_skrouterd, past_stalled_readers, rows, with_service};

/// What runs on each commit: every kind of row once, the most at once, few bytes.
fn some(other: Kind) {
    for (at, row) in rows(other).iter().enumerate() {
        let (service, tls) = ([ServiceAt::First, ServiceAt::Last][at % 2], at % 3 == 2);
        downloads(row, service, tls, &[4, 16], 6_000_000);
    }
    downloads(&[Kind::Knetsim, other], ServiceAt::Last, true, &[16], 6_000_000);
    downloads(&[other, Kind::Knetsim], ServiceAt::First, true, &[16], 6_000_000);
}

#[test]
fn downloads_at_once_between_routers_of_this_kind() {
    use Kind::Knetsim;
    with_service(|| {
        for (service, tls) in [(ServiceAt::First, false), (ServiceAt::Last, true)] {
            downloads(&[Knetsim, Knetsim], service, tls, &[1, 16], 10_000_000);
        }
        downloads(&[Knetsim, Knetsim, Knetsim], ServiceAt::First, false, &[16], 10_000_000);
    });
}

#[test]
fn downloads_at_once_with_the_stand_in() {
    with_service(|| some(Kind::StandIn));
}

#[test]
fn downloads_at_once_with_skrouterd_where_it_is() {
    if has_skrouterd() {
        with_service(|| some(Kind::Skrouterd));
    }
}

#[test]
fn readers_that_stall_hold_up_nobody() {
    let others = [Some(Kind::Knetsim), Some(Kind::StandIn), has_skrouterd().then_some(Kind::Skrouterd)];
    with_service(|| {
        for other in others.into_iter().flatten() {
            past_stalled_readers(&[Kind::Knetsim, other], ServiceAt::First, 12, FRAME);
            past_stalled_readers(&[other, Kind::Knetsim], ServiceAt::Last, 24, FRAME);
        }
    });
}

/// A router in between has a queue for each of them, of more bytes than may be under way to the stand-in.
#[test]
fn readers_that_stall_behind_a_router_in_between_hold_up_nobody_whatever_the_frames() {
    use Kind::{Knetsim, StandIn};
    with_service(|| past_stalled_readers(&[Knetsim, Knetsim, StandIn], ServiceAt::First, 24, LONGEST_FRAME));
}
