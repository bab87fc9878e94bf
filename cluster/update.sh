#!/bin/sh
# Brings cluster/ to a newer version of the template, in the root folder of your project:
#
#   cluster/update.sh URL [TO [FROM]]
#
# URL   the template's Git repository
# TO    a tag, branch or commit of it; by default the newest release
# FROM  what the project has now; by default the release that cluster/Cargo.toml names
#
# Git merges cluster/: your edits stay, or are shown as conflicts. The locked versions are merged,
# too. All changes are staged and not committed; `git reset --hard` undoes them.
set -eu

refs=refs/cluster-update # The template's tags and branches, until this ends: not among your own.

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

clean_up() {
  git for-each-ref --format='delete %(refname)' $refs | git update-ref --stdin
  rm -rf "$work"
}

# commit NAME ADVICE: the commit of this tag, branch or commit of the template.
commit() {
  for name in "$refs/tags/$1" "$refs/heads/$1" "$1"; do
    if id=$(git rev-parse --verify --quiet --end-of-options "$name^{commit}") &&
      [ "$(git for-each-ref --count=1 --contains "$id" $refs)" ] &&
      git cat-file -e "$id:cluster/Cargo.toml" 2>/dev/null; then
      echo "$id"
      return
    fi
  done
  fail "The template has no tag, branch or commit '$1' with a folder cluster/.$2"
}

version() {
  sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q;}'
}

# snapshot COMMIT PARENT...: a commit of this project with the template's cluster/.
snapshot() {
  export GIT_INDEX_FILE="$work/index"
  folder=$(git rev-parse --show-prefix)cluster/
  git read-tree HEAD
  git rm -r -q -f --cached -- cluster
  git read-tree --prefix="$folder" "$1:cluster"
  name="cluster $(git show "$1:cluster/Cargo.toml" | version)"
  shift
  git -c user.name=update.sh -c user.email=update.sh commit-tree -m "$name" "$@" "$(git write-tree)"
}

# Both locks in one: of the versions of a crate that fit the same requirements, the newest.
merge_locks() {
  [ -f Cargo.lock ] || return 0
  git show "$1:Cargo.lock" >"$work/Cargo.lock"
  awk 'BEGIN { RS = ""; FS = "\n"; ORS = "\n\n" }
    $1 != "[[package]]" { if (!header++) print; next }
    {
      split($3, part, /[".+-]/) # version = "1.2.3"
      major = part[2] > 0 ? part[2] : part[3] > 0 ? "0." part[3] : "0.0." part[4]
      crate = $2 $4 major
      if (!(crate in newest)) order[++count] = crate
      else if (part[3] * 1e6 + part[4] <= newest[crate]) next
      newest[crate] = part[3] * 1e6 + part[4]
      entry[crate] = $0
    }
    END { for (i = 1; i <= count; i++) print entry[order[i]] }' \
    "$work/Cargo.lock" Cargo.lock >"$work/merged"
  cat "$work/merged" >Cargo.lock
}

# The page's libraries, if cluster/ wants others than before.
merge_package_locks() {
  [ -f package-lock.json ] && ! git diff --quiet HEAD -- cluster/web/package.json || return 0
  git show "$1:package-lock.json" >"$work/package-lock.json"
  node -e 'const fs = require("fs");
    const [mine, theirs] = process.argv.slice(1).map((file) => JSON.parse(fs.readFileSync(file)));
    for (const [path, entry] of Object.entries(theirs.packages)) {
      if (path && !entry.dev) mine.packages[path] = entry;
    }
    fs.writeFileSync(process.argv[1], JSON.stringify(mine, null, 2) + "\n");
    ' package-lock.json "$work/package-lock.json" &&
    npm install --package-lock-only --omit-lockfile-registry-resolved --silent
}

# Cargo leaves in its lock what is needed.
finish_locks() {
  if [ -f Cargo.lock ] && ! cargo update --quiet --workspace 2>/dev/null; then
    git show HEAD:./Cargo.lock >Cargo.lock # Your crates do not go with the template's versions.
    cargo update --quiet --workspace || return 1
  fi
  merge_package_locks "$1" || return 1
  for lock in Cargo.lock package-lock.json; do
    git add --update -- $lock 2>/dev/null || : # Not if you keep it out of Git.
  done
}

main() {
  case $# in [123]) ;; *) fail "Usage: cluster/update.sh URL [TO [FROM]]" ;; esac
  [ -f cluster/Cargo.toml ] ||
    fail "There is no cluster/Cargo.toml here. Go to the root folder of your project first."
  git cat-file -e HEAD:./cluster/Cargo.toml 2>/dev/null ||
    fail "This project is not committed to Git. Commit it first: git init; git add --all; git commit"
  [ -z "$(git status --porcelain)" ] ||
    fail "There are uncommitted changes. Commit or stash them first, so that the update can be undone."
  work=$(mktemp -d)
  trap clean_up EXIT
  trap 'exit 1' INT TERM

  git fetch --quiet --no-tags --no-write-fetch-head --no-recurse-submodules -- "$1" \
    "+refs/tags/*:$refs/tags/*" "+refs/heads/*:$refs/heads/*" ||
    fail "Cannot fetch from '$1'. Check the address, and whether the network is there."
  newest=$(git -c versionsort.suffix=- for-each-ref --sort=-version:refname --count=1 \
    --format='%(refname:lstrip=3)' "$refs/tags/v[0-9]*")
  wanted=${2:-$newest}
  [ "$wanted" ] || fail "The template has no release yet. Name a branch: cluster/update.sh URL main"
  have=$(version <cluster/Cargo.toml)
  to=$(commit "$wanted" "")
  from=$(commit "${3:-v$have}" " Name what the project was made from: cluster/update.sh URL TO FROM")

  if ! git merge-base --is-ancestor "$to" "$from"; then
    base=$(snapshot "$from")
    next=$(snapshot "$to" -p "$base")
    git cherry-pick --no-commit "$next" >"$work/said" 2>&1 || [ "$(git ls-files --unmerged)" ] ||
      fail "Git cannot merge: $(cat "$work/said")"
  fi
  conflicts=$(git diff --name-only --diff-filter=U)
  if [ ! "$conflicts" ] && git diff --cached --quiet HEAD; then
    echo "Nothing to do: cluster/ has everything of $wanted."
    return
  fi
  merge_locks "$to"

  git show "$to:cluster/CHANGELOG.md" |
    awk -v have="$have" '/^## / { on = 1 } $0 == "## " have { exit } on'
  now=$(git show "$to:cluster/Cargo.toml" | version)
  if [ "$(git rev-parse --verify --quiet "$refs/tags/v$now^{commit}")" != "$to" ]; then
    now="the commit $(git rev-parse --short "$to") (name that as FROM next time)"
  fi
  [ ! "$conflicts" ] || fail "cluster/ is at $now, with conflicts in:
$conflicts
Resolve them; then \`cargo update --workspace\`, \`npm install\`, edit your files as the list above
says, test, and commit. To undo all: git reset --hard"
  finish_locks "$to" || fail "cluster/ is at $now, but the locked versions are not.
Run \`cargo update --workspace\` and \`npm install\`. To undo all: git reset --hard"
  echo "cluster/ is at $now. The changes are staged: edit your files as the list above says,
test, and commit. To undo all: git reset --hard"
}

main "$@"
exit
