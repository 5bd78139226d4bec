# shellcheck shell=bash
# Ordinary users for the tests, as a bare Debian machine has none. Sourced by .ci/run and scripts/nightly.sh, as root.
#
# One checkout serves all three: root builds and tests in the user's home, then the user gets it. So a crate has the
# same path for all of them, and nothing is compiled twice.

CI_USER=knetsim-ci
CI_HOME=/home/$CI_USER
CHECKOUT=$CI_HOME/knetsim
MADE_USER=
export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never

section() { printf '\n===== %s (after %d s)\n' "$*" "$SECONDS"; }

# A user with a copy of the toolchain (root's home is closed to others), of the crates, and of this checkout.
make_user() {
    local sysroot
    if ! id "$CI_USER" >/dev/null 2>&1; then
        useradd --create-home --home-dir "$CI_HOME" --shell /bin/bash "$CI_USER"
        MADE_USER=yes
    fi
    sysroot=$(rustc --print sysroot)
    if [ "$sysroot" != /usr ]; then
        mkdir -p "$CI_HOME/toolchain"
        tar -C "$sysroot" -cf - ./bin ./lib | tar -C "$CI_HOME/toolchain" -xf -
        PATH=$CI_HOME/toolchain/bin:$PATH
    fi
    export PATH CARGO_HOME=$CI_HOME/cargo
    rm -rf "$CHECKOUT"
    mkdir "$CHECKOUT"
    tar --exclude=./target -cf - . | tar -C "$CHECKOUT" -xf -
}

remove_user() {
    if [ -n "$MADE_USER" ]; then
        userdel --remove "$CI_USER" || true
    fi
}

as_root() { make -C "$CHECKOUT" "$@"; }

as_user() {
    chown -R "$CI_USER:" "$CI_HOME"
    runuser -u "$CI_USER" -- env -i HOME="$CI_HOME" USER="$CI_USER" CI=true LANG=C.UTF-8 \
        CARGO_HOME="$CARGO_HOME" CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never \
        PATH="$CI_HOME/toolchain/bin:/usr/local/bin:/usr/bin:/bin" make -C "$CHECKOUT" "$@"
}

# What a user's sandboxes ran must be gone within the 2 seconds that the design allows.
nothing_left() {
    local deadline=$((SECONDS + 3))
    while pgrep -u "$CI_USER" -a; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "processes of $CI_USER are left" >&2 && return 1; }
        sleep 0.1
    done
}

subordinate_ids() {
    case $1 in
    with) grep -q "^$CI_USER:" /etc/subuid || usermod --add-subuids 300000-365535 --add-subgids 300000-365535 "$CI_USER" ;;
    without) sed -i "/^$CI_USER:/d" /etc/subuid /etc/subgid ;;
    esac
}

# Runs `make TARGET` as the user with a range of subordinate ids, then as the user without; what they print goes to
# a file of each in the folder LOG, too.
as_both_users() {
    local target=$1 log=$2 ids failed=0
    for ids in with without; do
        section "make $target, as an ordinary user $ids subordinate ids"
        subordinate_ids "$ids"
        as_user "$target" 2>&1 | tee "$log/$ids" || failed=1
        nothing_left || failed=1
    done
    return "$failed"
}

# The last line: the tests of all three together. Fails where one of them failed or was not run.
count_all() {
    section all tests
    awk '/^tests: [0-9]+ passed, [0-9]+ failed$/ { runs++; passed += $2; failed += $4 }
         END { printf "tests: %d passed, %d failed\n", passed, failed; exit (runs != 3 || failed) }' "$1"/*
}
