# `make help` says what there is. Each target first makes sure that what it needs is installed.

.DEFAULT_GOAL := help
.PHONY: help demo test test-user test-nightly nightly check bench build image setup clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*##/ { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## set up what is missing, build, run labs/first-steps, prove the chapters C1 to C5 task by task
	@scripts/setup.sh build labs run
	@scripts/demo.sh

test: ## set up what is missing, build, run all tests
	@scripts/setup.sh build labs run test
	@scripts/test.sh

test-user: ## the tests that depend on who runs them, as CI runs them for ordinary users (docs/testing.md)
	@scripts/setup.sh build labs run test
	@scripts/test.sh --user

test-nightly: ## all tests, and those that take long and change seldom
	@scripts/setup.sh build labs run test
	@scripts/test.sh --nightly

nightly: ## as root: test-nightly, and all tests as two ordinary users
	@scripts/setup.sh build labs run test
	@scripts/nightly.sh

check: ## formatting, lints, dependencies and their licences, documentation, scripts
	@scripts/setup.sh build check
	@scripts/check.sh

bench: ## measure against the raw netlink floor and Mininet (release build)
	@scripts/setup.sh build labs run test bench
	@scripts/bench.sh

build: ## target/release/knetsim, and the chapters, which it finds beside it
	@scripts/setup.sh build labs
	cargo build --release --locked --package knetsim
	@scripts/wasm-target.sh >/dev/null
	mkdir -p target/chapters
	target/release/knetsim lab build labs/c1 --file target/chapters/c1.wasm
	target/release/knetsim lab build labs/c2 --file target/chapters/c2.wasm
	target/release/knetsim lab build labs/c3 --file target/chapters/c3.wasm
	target/release/knetsim lab build labs/c4 --file target/chapters/c4.wasm
	target/release/knetsim lab build labs/c5 --file target/chapters/c5.wasm

image: ## the Docker image `knetsim`, with C1 run in it (IMAGE="OPTION OF docker build ...")
	@scripts/setup.sh image
	@scripts/image.sh $(IMAGE)

setup: ## install all that any of these needs
	@scripts/setup.sh build labs run test check bench
	@scripts/wasm-target.sh >/dev/null

clean: ## remove what was built
	cargo clean
