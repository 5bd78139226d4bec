#!/usr/bin/env bash
# Builds the image `knetsim` and runs the chapter C1 in it:    scripts/image.sh [OPTION OF docker build ...]
#
# For instance --network host, --build-arg BASE=..., see the Dockerfile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

show() { printf '\n$ %s\n' "$*" >&2 && "$@"; }

if ! docker info >/dev/null 2>&1; then
    printf 'No Docker engine answers here. Start one, as root:\n    systemctl start docker    (or: dockerd &)\n' >&2
    exit 1
fi
show docker build --tag knetsim "$@" .
show docker run --rm --security-opt seccomp=unconfined --security-opt systempaths=unconfined knetsim lab test c1
