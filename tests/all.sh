#!/usr/bin/env bash
# Passes all tests of this repository: formatting, lints, the cluster, generated projects, a real
# browser, real proxies. Installs what they need and what is missing (Debian's packages when run as
# root).
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:/usr/sbin" # Debian has servers in the last one

has() { command -v "$1" >/dev/null; }
step() { printf '\n== %s\n' "$*"; }

install_debian() (
  if ! has apt-get || [ "$(id -u)" != 0 ]; then
    echo "Please install first: $*" >&2
    exit 1
  fi
  # Debian starts servers as soon as they are installed, unless this says no; the tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'rm $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  # Nor are they to start with the machine.
  for name; do systemctl --quiet disable "$name" 2>/dev/null || true; done
)

missing=()
has chromium || missing+=(chromium fonts-dejavu-core)
for program in npm nginx caddy haproxy openssl; do
  has $program || missing+=($program)
done
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
[ ${#missing[@]} = 0 ] || { step "installing ${missing[*]}"; install_debian "${missing[@]}"; }
if ! has cargo-generate; then
  step "installing cargo-generate"
  # This version builds with older Rust too; a debug build is quick to make and quick enough.
  cargo install --locked --debug cargo-generate --version 0.23.14
fi
step "client libraries"
npm ci --no-audit --no-fund

step "formatting and lints"
cargo fmt --all --check
cargo clippy --workspace --all-targets --test '*' --locked -- -D warnings
template-hooks/twins.sh --check
npm run check

step "tests"
cargo test --workspace --locked
step "the structure's tests again, relayed as elsewhere than on Linux, and with a port for each room"
CLUSTER_RELAY=true cargo test --locked -p cluster --test cluster
CLUSTER_ROOM_PORTS=31000-31999 cargo test --locked -p cluster --test cluster
step "faults, and proofs by numbers"
cargo test --locked -p cluster --test faults --test proof
step "the wire, templates, browsers and proxies, the release build"
cargo test --locked --test wire --test template --test browser --test release
step "random faults for half a minute"
tests/chaos --minutes 0.5 --seed 1
