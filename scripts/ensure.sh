#!/bin/sh
# ensure.sh redis | node | chromium | postgresql | compiler | promtool | systemd installs a program that tests need: the private redis-servers that they start, the
# other side of the interop tests, the browser of the client's tests, the database of examples/effects, or the C compiler of the race detector and of
# tests/redistest. promtool, which checks the alerts, is put into bin/ where apt-get is: its package would start a server. Where it may not install (it needs
# root, or sudo without a password), it prints the one command that does.
set -eu

case "$1" in
redis) programs="redis-server" deb="redis-server" rpm="redis" apk="redis" brew="redis" ;;
node) programs="node npm" deb="nodejs npm" rpm="nodejs npm" apk="nodejs npm" brew="node" ;;
chromium) programs="chromium" deb="chromium" rpm="chromium" apk="chromium" brew="--cask chromium" ;;
postgresql) programs="postgres psql" deb="postgresql" rpm="postgresql-server postgresql" apk="postgresql postgresql-client" brew="postgresql@17" ;;
compiler) programs="gcc" deb="gcc libc6-dev" rpm="gcc" apk="gcc musl-dev" brew="gcc" ;;
systemd) programs="systemd-analyze" deb="systemd" rpm="systemd" apk="systemd" brew="systemd" ;;
promtool) programs="promtool" deb="prometheus" rpm="golang-github-prometheus" apk="prometheus" brew="prometheus" ;;
*)
	echo "usage: ensure.sh redis | node | chromium | postgresql | compiler | promtool | systemd" >&2
	exit 2
	;;
esac

# A browser has one of several names.
there() {
	if [ "$programs" = chromium ]; then
		for program in chromium chromium-browser google-chrome; do
			command -v "$program" >/dev/null 2>&1 && return 0
		done
		return 1
	fi
	if [ "$programs" = "postgres psql" ]; then
		# Not all systems have the server on the PATH.
		for program in /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres /usr/libexec/postgresql*/postgres; do
			[ -x "$program" ] && command -v psql >/dev/null 2>&1 && return 0
		done
	fi
	for program in $programs; do
		command -v "$program" >/dev/null 2>&1 || return 1
	done
}

there && exit 0

if [ "$1" = promtool ] && command -v apt-get >/dev/null 2>&1; then
	bin=$(cd "$(dirname "$0")/.." && pwd)/bin
	[ -x "$bin/promtool" ] && exit 0
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	echo "promtool: not installed; running: apt-get download prometheus" >&2
	(cd "$work" && apt-get download -q prometheus >log 2>&1) || { cat "$work/log" >&2; echo "promtool: could not be downloaded; apt-get update may help" >&2; exit 1; }
	dpkg-deb -x "$work"/prometheus_*.deb "$work/package"
	mkdir -p "$bin"
	cp "$work/package/usr/bin/promtool" "$bin/"
	exit 0
fi

if command -v apt-get >/dev/null 2>&1; then
	install="apt-get install -y $deb"
elif command -v dnf >/dev/null 2>&1; then
	install="dnf install -y $rpm"
elif command -v apk >/dev/null 2>&1; then
	install="apk add $apk"
elif command -v brew >/dev/null 2>&1; then
	echo "$programs: not installed; install with: brew install $brew" >&2
	exit 1
else
	echo "$programs: not installed, and no package manager is known here (README.md says the versions); put it on the PATH" >&2
	exit 1
fi

if [ "$(id -u)" -eq 0 ]; then
	as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	as_root="sudo -n"
else
	echo "$programs: not installed; install with: sudo $install" >&2
	exit 1
fi

echo "$programs: not installed; running: $as_root $install" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root env DEBIAN_FRONTEND=noninteractive $install >"$log" 2>&1 || {
	command -v apt-get >/dev/null 2>&1 &&
		$as_root apt-get update >>"$log" 2>&1 &&
		$as_root env DEBIAN_FRONTEND=noninteractive $install >>"$log" 2>&1
}; }; then
	cat "$log" >&2
	echo "$programs: could not be installed; install by hand with: $install" >&2
	exit 1
fi
there || {
	echo "$install ran, but $programs: still not on the PATH" >&2
	exit 1
}
