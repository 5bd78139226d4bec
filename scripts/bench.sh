#!/usr/bin/env bash
# Builds knetsim and its benchmark with optimization, and measures:    scripts/bench.sh [ARGUMENT OF knetsim-bench ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release --locked --package knetsim --package knetsim-bench
scripts/wasm-target.sh >/dev/null
guest=$(target/release/knetsim lab build bench/guest)
exec target/release/knetsim-bench --guest "$guest" "$@"
