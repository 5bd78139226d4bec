#!/usr/bin/env bash
# Runs all tests and ends with a line that counts them:    scripts/test.sh [ARGUMENT OF cargo test ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/wasm-target.sh >/dev/null
cargo build --locked --package knetsim # what the tests of the whole program run
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?

# cargo prints a result for each crate: the sum of them, and what failed, at the end.
awk -v user="$(id -un)" '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    /^test .* \.\.\. FAILED$/ { names = names "    " $2 "\n" }
    END {
        if (names) printf "\nFailed, as %s:\n%s", user, names
        if (ignored) printf "%d ignored: a test that does not run is no test\n", ignored
        printf "\ntests: %d passed, %d failed\n", passed, failed
        exit (failed || ignored || !passed)
    }' "$output" || status=1
exit "$status"
