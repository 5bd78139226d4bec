#!/usr/bin/env bash
# Builds knetsim and labs, runs labs/first-steps, and proves the chapters C1 to C5 task by task.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

show() { printf '\n$ %s\n' "$*" >&2 && "$@"; }

scripts/wasm-target.sh >/dev/null
cargo build --locked --package knetsim
PATH=$PWD/target/debug:$PATH
show knetsim lab build labs/first-steps --file target/first-steps.wasm
show knetsim run --yes target/first-steps.wasm
for chapter in c1 c2 c3 c4 c5; do
    show knetsim lab test "labs/$chapter"
done
