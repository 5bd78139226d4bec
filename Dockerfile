# knetsim with its chapters, and all programs that the course uses:    make image
#
# Arguments say whence a build takes things; none of them ends up in a file of the image:
#   BASE           an image of Debian 12 or newer, or of what is made from it, with the security suite among its sources
#   DEBIAN_MIRROR  in place of http://deb.debian.org
#   CRATES_INDEX   in place of crates.io's index: sparse+https://...
ARG BASE=debian:bookworm-slim

FROM $BASE AS build
ARG DEBIAN_MIRROR
ARG CRATES_INDEX
WORKDIR /src
COPY Cargo.toml .
COPY scripts/setup.sh scripts/
RUN if [ -n "$DEBIAN_MIRROR" ]; then \
        find /etc/apt/sources.list* -type f -exec sed -i "s|http://deb.debian.org|$DEBIAN_MIRROR|" {} +; \
    fi && \
    if [ -n "$CRATES_INDEX" ]; then \
        mkdir -p ~/.cargo && \
        printf '[source]\ncrates-io.replace-with = "given"\ngiven.registry = "%s"\n' "$CRATES_INDEX" >~/.cargo/config.toml; \
    fi && \
    scripts/setup.sh build labs
COPY . .
RUN cargo build --release --locked --package knetsim && \
    scripts/wasm-target.sh >/dev/null && \
    install -D --target-directory=/out/usr/local/bin target/release/knetsim && \
    mkdir -p /out/usr/local/share/knetsim/chapters && \
    for chapter in labs/c[0-9]*; do \
        target/release/knetsim lab build "$chapter" \
            --file "/out/usr/local/share/knetsim/chapters/${chapter#labs/}.wasm" || exit; \
    done

FROM $BASE
ARG DEBIAN_MIRROR
COPY Cargo.toml /tmp/knetsim/
COPY scripts/setup.sh /tmp/knetsim/scripts/
RUN cp -a /etc/apt /tmp/apt && \
    if [ -n "$DEBIAN_MIRROR" ]; then \
        find /etc/apt/sources.list* -type f -exec sed -i "s|http://deb.debian.org|$DEBIAN_MIRROR|" {} +; \
    fi && \
    /tmp/knetsim/scripts/setup.sh run && \
    apt-get clean && \
    rm -r /etc/apt /tmp/knetsim /var/lib/apt/lists && \
    mv /tmp/apt /etc/apt
COPY --from=build /out/ /
# The pictures are drawn with more than ASCII.
ENV LANG=C.UTF-8
ENTRYPOINT ["knetsim"]
CMD ["learn"]
