#!/usr/bin/env bash
# Runs tests and ends with a line that counts them:
#
#     scripts/test.sh [ARGUMENT OF cargo test ...]    all of them, or what cargo is asked for
#     scripts/test.sh --user                          what depends on who runs it (docs/testing.md)
#     scripts/test.sh --nightly                       all, what takes long, and what needs skrouterd where that is
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# An ordinary user's search path lacks the folders of `bridge`, `nft` and `sysctl`, which tests compare with.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Tests wait for networks more than they compute.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((3 * $(nproc)))}

scripts/wasm-target.sh >/dev/null
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0

run() { cargo test --locked --no-fail-fast "$@" 2>&1 | tee -a "$output" || status=$?; }

# Programs of tests that meet the kernel's permissions, ids or the person's own files. The chapters are C1, which makes
# namespaces by hand, and C4, whose nginx would change its user. No package is named: cargo would choose other
# features then, and compile anew.
run_as_user() {
    local programs=() name
    for name in netns netlink observe monitor packets sandbox escape limits traces daemon containers \
        bad_input command_line console logs course ingress tour; do
        programs+=(--test "$name")
    done
    run --lib --bins "${programs[@]}"
    run --test chapters -- workers_and_containers ingress
}

# With skrouterd itself where it can be had: the router's tests take it from PATH, those of sandboxes from the folders of
# programs that a sandbox has.
without=()
run_nightly() {
    local features=knetsim/nightly,knetsim-emulator/nightly,knetsim-router/nightly
    if command -v skrouterd >/dev/null; then
        features+=,knetsim-router/skrouterd
    else
        without+=("No skrouterd is on PATH: the tests of knetsim-router ran without it.")
    fi
    if (PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin && command -v skrouterd >/dev/null); then
        features+=,knetsim/skrouterd
    else
        without+=("No skrouterd is in /usr/local or /usr: the tests of sandboxes ran without it.")
    fi
    run --features "$features"
}

case ${1:-} in
--user) run_as_user ;;
--nightly) run_nightly ;;
*) run "$@" ;;
esac

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
if [ "${#without[@]}" != 0 ]; then printf '\n%s\n' "${without[@]}"; fi
exit "$status"
