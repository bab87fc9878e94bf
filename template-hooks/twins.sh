#!/bin/sh
# Makes the files that follow from others: the rendered twins of Cargo.toml, src/defaults.rs and the
# files in deploy, and the text of Cargo.lock. With --check it changes nothing, and fails if one of
# them is out of date.
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
twin Cargo.toml 1 -e '/^$/N' -e '/^\n# Only in this repository/,$d' -e "s/^name = \"$name\"\$/name = \"{{project-name}}\"/"
twin src/defaults.rs 3 -e "s/(name: )\"$name\"/\1\"{{project-name}}\"/" \
  -e 's/(port: )[0-9]+/\1{{lobby_port}}/' -e 's/(seats: )[0-9]+/\1{{seats}}/'
# As often as the file has the lobby's address: for the lobby, and for rooms.
for proxy in Caddyfile haproxy.cfg nginx.conf; do
  twin "deploy/$proxy" 2 -e 's/127\.0\.0\.1:[0-9]+/127.0.0.1:{{lobby_port}}/'
done
# Hooks cannot read files, so the pre hook has it as a text.
{
  echo "// Made by twins.sh: Cargo.lock. The pre hook puts the project's own package in its place."
  echo
  echo 'export const TEXT = `'
  sed -E -e "s/^name = \"$name\"\$/name = \"{{project-name}}\"/" \
    -e '/^name = "\{\{project-name/,/^\]/{/^ "(anyhow|rustix)",$/d}' Cargo.lock
  echo '`;'
} >"$made/lock.rhai"

if [ "${1-}" = --check ]; then
  for file in lock.rhai $(cd "$made" && find files -type f); do
    if ! cmp -s "$made/$file" "template-hooks/$file"; then
      echo "template-hooks/$file is out of date: run template-hooks/twins.sh" >&2
      exit 1
    fi
  done
else
  cp -R "$made/." template-hooks/
fi
