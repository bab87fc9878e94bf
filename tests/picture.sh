#!/bin/sh
# Takes the pictures of the README, light and dark, in a real browser: needs chromium and cargo-generate.
set -eu
cd "$(dirname "$0")/.."
PICTURES=$PWD/template-hooks/pictures cargo test --test browser browser::picture
