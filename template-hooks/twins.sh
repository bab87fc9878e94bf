#!/bin/sh
# Generates files from others: the rendered twins of Cargo.toml, src/defaults.rs and the files in
# deploy, lock.rhai from Cargo.lock, and pages.rhai from the examples' pages. With --check it changes
# nothing, and fails if one of them is out of date.
set -eu
cd "$(dirname "$0")/.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir -p "$made/files/src" "$made/files/deploy"

# twin FILE COUNT SED_EXPRESSION...: the result must have COUNT placeholders.
twin() {
  file=$1 expected=$2
  shift 2
  if grep -n -e '{{' -e '{%' "$file"; then
    echo "$file: Liquid would render these lines" >&2
    exit 1
  fi
  sed -E "$@" "$file" >"$made/files/$file"
  if [ "$(grep -c '{{' "$made/files/$file")" != "$expected" ]; then
    echo "$file: expected $expected placeholders; update $0" >&2
    exit 1
  fi
}

name=$(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# Without this repository's own tests and their dependencies.
twin Cargo.toml 1 -e '/^$/N' -e '/^\n# Only in this repository/,$d' -e "s/^name = \"$name\"\$/name = \"{{project-name}}\"/"
twin src/defaults.rs 3 -e "s/(name: )\"$name\"/\1\"{{project-name}}\"/" \
  -e 's/(port: )[0-9]+/\1{{lobby_port}}/' -e 's/(seats: )[0-9]+/\1{{seats}}/'
# Two addresses of the lobby: for the lobby itself, and for rooms.
for proxy in Caddyfile haproxy.cfg nginx.conf; do
  twin "deploy/$proxy" 2 -e 's/127\.0\.0\.1:[0-9]+/127.0.0.1:{{lobby_port}}/'
done
port=$(sed -n 's/^EXPOSE //p' deploy/Dockerfile)
twin deploy/Dockerfile 2 -e "s/\\b$port\\b/{{lobby_port}}/g"
# As a string for the pre hook, since hooks cannot read files.
{
  echo "// Made by twins.sh: Cargo.lock. The pre hook puts the project's own package in its place."
  echo
  echo 'export const TEXT = `'
  sed -E -e "s/^name = \"$name\"\$/name = \"{{project-name}}\"/" \
    -e '/^name = "\{\{project-name/,/^\]/{/^ "(anyhow|proc-macro2|rustix|syn [0-9.]+)",$/d}' Cargo.lock
  echo '`;'
} >"$made/lock.rhai"

# page EXAMPLE FILE: its page for the pre hook, too, which puts the project's name in title and heading.
page() {
  if [ "$(grep -c -e '<title>[^<]*</title>' -e '<h1>[^<]*</h1>' "$2")" != 2 ]; then
    echo "$2: expected a title and a heading, each on one line" >&2
    exit 1
  fi
  if grep -n -e '`' -e '\${' -e '{{' "$2" >&2; then
    echo "$2: Rhai would not take these lines as they are" >&2
    exit 1
  fi
  echo "    $1: \`"
  sed -E 's#<(title|h1)>[^<]*<#<\1>{{title}}<#' "$2"
  echo '`,'
}
{
  echo "// Made by twins.sh: the examples' pages. The pre hook puts the project's name in."
  echo
  echo 'export const PAGES = #{'
  page arena static/index.html
  for example in blank compute turns; do
    page $example template-hooks/examples/$example/static/index.html
  done
  echo '};'
} >"$made/pages.rhai"

if [ "${1-}" = --check ]; then
  for file in lock.rhai pages.rhai $(cd "$made" && find files -type f); do
    if ! cmp -s "$made/$file" "template-hooks/$file"; then
      echo "template-hooks/$file is out of date: run template-hooks/twins.sh" >&2
      exit 1
    fi
  done
else
  cp -R "$made/." template-hooks/
fi
