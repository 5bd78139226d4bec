//! `knetsim`: the command line.
fn main() {}
