#!/usr/bin/env bash
# Runs all tests and ends with a line that counts them:    scripts/test.sh [ARGUMENT OF cargo test ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# An ordinary user's search path lacks the folders of `bridge`, `nft` and `sysctl`, which tests compare with.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

scripts/wasm-target.sh >/dev/null
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?

# The results of all programs together, and what failed, at the end. Of a program the last result counts: a test that
# runs in namespaces of its own prints one more when it fails.
awk -v user="$(id -un)" '
    function count(   n) {
        if (split(result, n, " ") > 1) { passed += n[4]; failed += n[6]; ignored += n[8] }
        result = ""
    }
    /^ +(Running|Doc-tests) / { count() }
    /^test result: / { result = $0 }
    /^test .* \.\.\. FAILED/ && !seen[$0]++ { names = names "    " $0 "\n" }
    END {
        count()
        if (names) printf "\nAs %s:\n%s", user, names
        if (ignored) printf "\n%d ignored: a test that does not run is no test\n", ignored
        printf "\ntests: %d passed, %d failed\n", passed, failed
        exit (failed || ignored || !passed)
    }' "$output" || status=1
exit "$status"
