//! Times calls of a resource that a grant opened, and prints the nanoseconds of one: the least of many rounds.

use std::time::Instant;

mod bindings {
    #![allow(missing_docs, unsafe_code, clippy::all, reason = "made from the WIT files")]
    wit_bindgen::generate!({ path: "../../guest-sdk/wit", world: "imports" });
}

const ROUNDS: u32 = 20;
const CALLS: u32 = 10_000;

fn main() -> Result<(), String> {
    let cluster = bindings::knetsim::lab::clusters::open("C0").map_err(|error| error.message)?;
    let least = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(cluster.name());
        }
        start.elapsed()
    });
    let least = least.min().unwrap_or_default();
    println!("{}", least.as_secs_f64() * 1e9 / f64::from(CALLS));
    Ok(())
}
