#!/usr/bin/env bash
# Passes all tests of this repository: formatting, lints, the cluster, generated projects, a real
# browser. Installs what they need and what is missing (Debian's packages when run as root).
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

has() { command -v "$1" >/dev/null; }
step() { printf '\n== %s\n' "$*"; }

install_debian() {
  if ! has apt-get || [ "$(id -u)" != 0 ]; then
    echo "Please install first: $*" >&2
    exit 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

missing=()
has chromium || missing+=(chromium fonts-dejavu-core)
has npm || missing+=(npm)
[ ${#missing[@]} = 0 ] || { step "installing ${missing[*]}"; install_debian "${missing[@]}"; }
if ! has cargo-generate; then
  step "installing cargo-generate"
  # This version builds with older Rust too; a debug build is quick to make and quick enough.
  cargo install --locked --debug cargo-generate --version 0.23.14
fi
step "client libraries"
npm ci --no-audit --no-fund

step "formatting and lints"
cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
template-hooks/twins.sh --check

step "tests"
cargo test --locked
