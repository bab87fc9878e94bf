#!/usr/bin/env bash
# Counts the instructions of the hot paths and compares them with cluster/src/testing/counts/expected.txt. Needs
# valgrind. UPDATE_COUNTS=1 writes the file instead.
set -euo pipefail
cd "$(dirname "$0")/.."
# As in tests/all.sh, since other builds have other counts.
export CARGO_PROFILE_RELEASE_{LTO=off,CODEGEN_UNITS=16,OPT_LEVEL=1} CARGO_INCREMENTAL=0
exec cargo test --locked --release -p cluster --lib -- --ignored counts::
