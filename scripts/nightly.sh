#!/usr/bin/env bash
# What takes long and changes seldom, as root on Debian: all tests as all three kinds of user, and those that need
# the feature `nightly` (long interop, soaks). docs/testing.md says which those are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/users.sh

if [ "$(id -u)" != 0 ]; then
    echo "make nightly: run it as root: it runs the tests as root and as two ordinary users that it makes" >&2
    exit 1
fi
LOG=$(mktemp -d)
finish() {
    rm -rf "$LOG"
    remove_user
}
trap finish EXIT

make_user
failed=0
section make test-nightly, as root
as_root test-nightly 2>&1 | tee "$LOG/root" || failed=1
as_both_users test "$LOG" || failed=1
count_all "$LOG" || failed=1
[ "$failed" = 0 ]
