#!/usr/bin/env bash
# The compiler that builds labs: makes sure that Rust's standard library for wasm32-wasip2 is there,
# and prints the value for RUSTC with which cargo finds it.
#
#     RUSTC="$(scripts/wasm-target.sh)" cargo build --release --target wasm32-wasip2
#
# Taken in this order, as `knetsim lab build` does too:
#   1. the active toolchain's own target (`rustup target add wasm32-wasip2`);
#   2. the sysroot that $KNETSIM_WASM_SYSROOT names;
#   3. target/wasm-sysroot of this checkout, which is made from Debian's packages when it is missing:
#      std has to come from the compiler that uses it, and Debian's rustc is the one whose source is packaged.
#
# A sysroot is a folder with bin/rustc (Debian's compiler, told where its sysroot is), std for this machine and
# for wasm32-wasip2, and the linkers rust-lld and wasm-component-ld. `cargo clean` removes the one in target/;
# making it again takes under a minute.
set -euo pipefail

TARGET=wasm32-wasip2
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEBIAN_RUSTC=/usr/bin/rustc
WASI_LIBC=/usr/lib/wasm32-wasi
COMPONENT_LD=0.5.21 # the one of rustup's 1.95: later ones import interfaces newer than the host has

say() { printf '%s\n' "$*" >&2; }

complete() { [ -x "$1/bin/rustc" ] && compgen -G "$1/lib/rustlib/$TARGET/lib/libstd-*.rlib" >/dev/null; }

debian_source() { printf '%s/lib/rustlib/src/rust/library' "$("$DEBIAN_RUSTC" --print sysroot)"; }

# What a sysroot was made from; another compiler or libc makes it stale.
made_from() { "$DEBIAN_RUSTC" -vV; cksum "$WASI_LIBC/libc.a"; }

how_to_get_it() {
    say "Labs are compiled for $TARGET, and no standard library for it is installed. Do one of these:"
    say "    rustup target add $TARGET"
    say "    apt-get install --no-install-recommends rustc-web rust-web-src wasi-libc    (Debian, as root; rustc 1.95 or newer)"
    exit 1
}

# The linkers come with rustup's toolchains; Debian has one of the two, and the other is a crate.
link_linkers() {
    local sysroot=$1 host theirs tools
    host=$("$DEBIAN_RUSTC" -vV | sed -n 's/^host: //p')
    theirs=$(rustc --print sysroot)/lib/rustlib/$host/bin
    tools=$sysroot/lib/rustlib/$host/bin
    mkdir -p "$tools"
    if [ -x "$theirs/wasm-component-ld" ]; then
        link "$theirs/rust-lld" "$tools/rust-lld"
        link "$theirs/wasm-component-ld" "$tools/wasm-component-ld"
        return
    fi
    if ! command -v wasm-ld-22 >/dev/null; then
        say "wasm-target: no linker for WebAssembly: use a toolchain of rustup's, or run"
        say "    apt-get install --no-install-recommends lld-22"
        exit 1
    fi
    [ -x "$sysroot/bin/wasm-component-ld" ] ||
        cargo install --locked --root "$sysroot" "wasm-component-ld@$COMPONENT_LD" >&2
    link "$(command -v wasm-ld-22)" "$tools/wasm-ld"
    link "$sysroot/bin/wasm-component-ld" "$tools/wasm-component-ld"
}

link() { [ "$(readlink "$2")" = "$1" ] || ln -sfn "$1" "$2"; }

build_std() {
    local work=$1
    mkdir -p "$work/src"
    printf '#![no_std]\n' >"$work/src/lib.rs"
    cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "wasm-sysroot"
version = "0.0.0"
edition = "2024"

[workspace]

[profile.release]
panic = "abort"
TOML
    # build-std needs a nightly or this variable; without bitcode in std, a lab's link-time optimization fails.
    (cd "$work" && env -u CARGO_BUILD_TARGET -u RUSTC_WRAPPER -u CARGO_ENCODED_RUSTFLAGS \
        RUSTC="$DEBIAN_RUSTC" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/target" \
        cargo build --release --target "$TARGET" -Zbuild-std=std,panic_abort >&2)
}

make_sysroot() {
    local sysroot=$1 new=$1.new debian lib
    debian=$("$DEBIAN_RUSTC" --print sysroot)
    say "wasm-target: building Rust's standard library for $TARGET (once, under a minute) ..."
    rm -rf "$new"
    mkdir -p "$new/bin" "$new/lib/rustlib"
    build_std "$new/work"

    lib=$new/lib/rustlib/$TARGET/lib
    mkdir -p "$lib/self-contained"
    find "$new/work/target/$TARGET/release/deps" -name 'lib*.rlib' ! -name 'libwasm_sysroot-*' -exec mv {} "$lib" \;
    cp "$WASI_LIBC"/libc.a "$WASI_LIBC"/crt1-command.o "$WASI_LIBC"/crt1-reactor.o "$lib/self-contained"
    # Build scripts and procedural macros of a lab's dependencies need std for this machine as well.
    for lib in "$debian"/lib/rustlib/*/lib; do
        mkdir -p "$new/lib/rustlib/$(basename "$(dirname "$lib")")"
        ln -s "$lib" "$new/lib/rustlib/$(basename "$(dirname "$lib")")/lib"
    done
    cat >"$new/bin/rustc" <<SH
#!/bin/sh
exec $DEBIAN_RUSTC --sysroot "\$(dirname "\$(dirname "\$0")")" "\$@"
SH
    chmod +x "$new/bin/rustc"
    made_from >"$new/made-from"
    rm -rf "$new/work" "$sysroot"
    mv "$new" "$sysroot"
}

# 1. the active toolchain's own
if compgen -G "$(rustc --print target-libdir --target "$TARGET")/libstd-*.rlib" >/dev/null; then
    command -v rustc
    exit
fi
# 2. the one named
if [ -n "${KNETSIM_WASM_SYSROOT:-}" ]; then
    complete "$KNETSIM_WASM_SYSROOT" || { say "wasm-target: \$KNETSIM_WASM_SYSROOT is no sysroot for $TARGET: $KNETSIM_WASM_SYSROOT"; exit 1; }
    printf '%s\n' "$KNETSIM_WASM_SYSROOT/bin/rustc"
    exit
fi
# 3. the checkout's
if ! [ -x "$DEBIAN_RUSTC" ] || ! [ -f "$(debian_source)/std/Cargo.toml" ] || ! [ -f "$WASI_LIBC/libc.a" ]; then
    how_to_get_it
fi
SYSROOT=$ROOT/target/wasm-sysroot
mkdir -p "$ROOT/target"
if ! complete "$SYSROOT" || ! made_from | cmp -s - "$SYSROOT/made-from"; then
    make_sysroot "$SYSROOT"
fi
link_linkers "$SYSROOT"
printf '%s\n' "$SYSROOT/bin/rustc"
