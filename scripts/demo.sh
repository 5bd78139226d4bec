#!/usr/bin/env bash
# Builds knetsim and the lab labs/first-steps, and runs the lab.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

show() { printf '\n$ %s\n' "$*" >&2 && "$@"; }

scripts/wasm-target.sh >/dev/null
cargo build --locked --package knetsim
PATH=$PWD/target/debug:$PATH
show knetsim lab build labs/first-steps --file target/first-steps.wasm
show knetsim run --yes target/first-steps.wasm
