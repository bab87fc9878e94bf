#!/bin/sh
# Makes the files that follow from others: the rendered twins of Cargo.toml, Cargo.lock,
# src/defaults.rs and the files in deploy, and the list of crates whose names a project cannot have.
# With --check it changes nothing, and fails if one of them is out of date.
set -eu
cd "$(dirname "$0")/.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir -p "$made/files/src" "$made/files/deploy"

# twin FILE HOW_MANY SED_EXPRESSION...: so many placeholders must be in it afterwards.
twin() {
  file=$1 expected=$2
  shift 2
  if grep -n -e '{{' -e '{%' "$file"; then
    echo "$file: Liquid would take these lines for its own" >&2
    exit 1
  fi
  sed -E "$@" "$file" >"$made/files/$file"
  if [ "$(grep -c '{{' "$made/files/$file")" != "$expected" ]; then
    echo "$file: expected $expected answers in it; is $0 still right?" >&2
    exit 1
  fi
}

name=$(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# Without this repository's own tests, and what only they need.
twin Cargo.toml 1 -e '/^# Only in this repository/,$d' -e "s/^name = \"$name\"\$/name = \"{{project-name}}\"/"
twin Cargo.lock 1 -e "s/^name = \"$name\"\$/name = \"{{project-name}}\"/" \
  -e '/^name = "\{\{project-name/,/^\]/{/^ "(anyhow|rustix)",$/d}'
twin src/defaults.rs 2 -e 's/(PORT: u16 = )[0-9_]+;/\1{{lobby_port}};/' -e 's/(SEATS: usize = )[0-9_]+;/\1{{seats}};/'
# As often as the file has the lobby's address: for the lobby, and for rooms.
for proxy in Caddyfile haproxy.cfg nginx.conf; do
  twin "deploy/$proxy" 2 -e 's/127\.0\.0\.1:[0-9]+/127.0.0.1:{{lobby_port}}/'
done
{
  echo "// Made by twins.sh: the crates in Cargo.lock."
  echo
  echo "export const NAMES = ["
  sed -n 's/^name = \(".*"\)$/    \1,/p' Cargo.lock | grep -v "\"$name\"" | sort -u
  echo "];"
} >"$made/crates.rhai"

if [ "${1-}" = --check ]; then
  for file in crates.rhai $(cd "$made" && find files -type f); do
    if ! cmp -s "$made/$file" "template-hooks/$file"; then
      echo "template-hooks/$file is out of date: run template-hooks/twins.sh" >&2
      exit 1
    fi
  done
else
  cp -R "$made/." template-hooks/
fi
