//! Downloads at once, through routers of several kinds: whole, side by side, and past readers that have stalled.

use std::time::Duration;

use crate::common::{short_buffers, wait};
use crate::rows::{
    FIRST_LINK, FRAME, Kind, LONGEST_FRAME, Row, ServiceAt, ask_for, at_once, downloads, past_stalled_readers,
    past_stalled_readers_of_all_kinds, rows, with_service,
};

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

#[cfg(feature = "skrouterd")]
#[test]
fn downloads_at_once_with_skrouterd() {
    with_service(|| some(Kind::Skrouterd));
}

#[test]
fn readers_that_stall_hold_up_nobody() {
    past_stalled_readers_of_all_kinds(12, 24);
}

/// A router in between has a queue for each of them, of more bytes than may be under way to the stand-in.
#[test]
fn readers_that_stall_behind_a_router_in_between_hold_up_nobody_whatever_the_frames() {
    use Kind::{Knetsim, StandIn};
    with_service(|| past_stalled_readers(&[Knetsim, Knetsim, StandIn], ServiceAt::First, 24, LONGEST_FRAME));
}

#[test]
fn when_readers_that_stall_leave_nothing_for_others_the_router_says_so() {
    use Kind::{Knetsim, StandIn};
    with_service(|| {
        short_buffers();
        let row = Row::start(&[Knetsim, StandIn], ServiceAt::First, false, FRAME);
        let problem = || row.routers[0].status()["routers"][0]["problem"].as_str().map(str::to_owned);
        let stalled: Vec<_> = (0..300).map(|_| ask_for(600_000)).collect();
        let (words, _) = wait("the router says that nothing is left", Duration::from_secs(60), problem);
        assert!(words.contains("readers"), "{words}");
        let logged = || row.routers[0].log().matches("take nothing of what").count();
        // A tick after the status.
        wait("the log says so", Duration::from_secs(10), || (logged() > 0).then_some(()));
        drop(stalled);
        wait("there is room again", Duration::from_secs(60), || problem().is_none().then_some(()));
        assert_eq!(logged(), 1);
    });
}

/// Lets what is sent from a port of this network go no faster than that.
fn slow_down(port: usize, rate: &str) {
    let run = |words: &str| knetsim_testing::run(&words.split_whitespace().collect::<Vec<_>>());
    run("tc qdisc add dev lo root handle 1: htb");
    run(&format!("tc class add dev lo parent 1: classid 1:1 htb rate {rate} burst 256k cburst 256k"));
    run(&format!("tc filter add dev lo parent 1: protocol ip u32 match ip sport {port} 0xffff flowid 1:1"));
}

/// More waits for the slow link than may, and each stream has its turn only every few seconds; yet all are read.
#[test]
fn streams_that_wait_for_their_turn_on_a_slow_link_are_not_broken_off() {
    with_service(|| {
        slow_down(FIRST_LINK + 1, "640mbit");
        let row = Row::start(&[Kind::Knetsim; 3], ServiceAt::First, false, FRAME);
        at_once(500, 1_500_000);
        let most = row.routers[1].most_memory();
        assert!(most > 256 << 10, "too little waits: {most} kB");
    });
}
