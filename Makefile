# The commands of this project. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo build query test test-vm lint fuzz bench deps

# As cargo takes it.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Nextest runs every test in a process of its own, and several at once; plain cargo test does as well without it.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## replay a breach on a flat network and inside Ringfence (installs and builds what is missing)
	@scripts/demo

build: ## build the binary: target/release/ringfence
	cargo build --locked --release -p ringfence

query: ## build ringfence-query beside it, which answers `ringfence audit sql` (its engine takes some ten minutes)
	cargo build --locked --profile query -p ringfence-query
	@mkdir -p "$(TARGET)/release"
	install -m 755 "$(TARGET)/query/ringfence-query" "$(TARGET)/release/"

deps: ## install the programs that tests drive (curl, nginx, redis, dig, python3), where absent
	@scripts/deps test

# Not --all-targets: examples are then built as tests, and the programs that tests start would be stale.
test: deps ## run all tests
ifneq ($(NEXTEST),)
	cargo nextest run --locked --workspace --no-fail-fast
else
	cargo test --locked --workspace --no-fail-fast
endif
	cargo test --locked --workspace --doc
	scripts/test-demo

fuzz: ## attack each reader of hostile bytes with what coverage leads to, FUZZ_SECONDS each (a minute)
	@scripts/deps fuzz
	@scripts/fuzz

# BENCH takes options of bench/run: make bench BENCH="--only http1 --rounds 9"
bench: ## measure beside Envoy, HAProxy, bubblewrap and others: target/bench/figures.json and .svg (a quarter of an hour)
	@scripts/deps bench
	cargo build --locked --release -p ringfence -p ringfence-bench
	@$(MAKE) --no-print-directory query
	bench/run $(BENCH)

test-vm: ## run the tests that need control groups of version 2, in a virtual machine (root, Debian; minutes)
	scripts/test-in-vm

lint: ## check formatting, clippy (warnings are errors), licences, bans and sources
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p ringfence-fuzz --all-targets --features engine -- -D warnings
	@command -v cargo-deny >/dev/null || { echo "lint: installing cargo-deny (once; several minutes)"; \
		env -u CARGO_TARGET_DIR cargo install --locked cargo-deny; }
	@# Offline means: no advisories, no index. The sources themselves must be here, for every platform.
	cargo fetch --locked
	cargo deny --offline --locked check bans licenses sources
