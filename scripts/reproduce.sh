#!/bin/sh
# reproduce.sh builds the program from the working tree and from a copy of the tracked files in another directory, each with a cache of its own, and
# compares the two.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build=$(git describe --tags --always --dirty --match 'v*')
mkdir "$work/copy"
git ls-files -z -- . ":!clients" ":!docs" ":!bench" ":!examples" | xargs -0 cp --parents -t "$work/copy"
GOCACHE="$work/cache1" make --silent build BIN="$work/one" BUILD="$build"
GOCACHE="$work/cache2" make --silent -C "$work/copy" build BIN="$work/two" BUILD="$build"
cmp "$work/one/core" "$work/two/core"
sha256sum "$work/one/core" | cut -d ' ' -f 1
