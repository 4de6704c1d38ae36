#!/bin/sh
# The tests start private redis-servers of their own; this sees to it that there is a program to start.
# It installs one where it may (root, or sudo without a password), and otherwise says the one command that does.
set -eu

command -v redis-server >/dev/null 2>&1 && exit 0

if command -v apt-get >/dev/null 2>&1; then
	install="apt-get install -y redis-server"
elif command -v dnf >/dev/null 2>&1; then
	install="dnf install -y redis"
elif command -v apk >/dev/null 2>&1; then
	install="apk add redis"
elif command -v brew >/dev/null 2>&1; then
	echo "redis-server is not installed; install it with: brew install redis" >&2
	exit 1
else
	echo "redis-server (7.0 or newer) is not installed and no package manager is known here; put it on the PATH" >&2
	exit 1
fi

if [ "$(id -u)" -eq 0 ]; then
	as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	as_root="sudo -n"
else
	echo "redis-server is not installed; install it with: sudo $install" >&2
	exit 1
fi

echo "redis-server is not installed; running: $as_root $install" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root env DEBIAN_FRONTEND=noninteractive $install >"$log" 2>&1 || {
	command -v apt-get >/dev/null 2>&1 &&
		$as_root apt-get update >>"$log" 2>&1 &&
		$as_root env DEBIAN_FRONTEND=noninteractive $install >>"$log" 2>&1
}; }; then
	cat "$log" >&2
	echo "redis-server could not be installed; install it by hand with: $install" >&2
	exit 1
fi
command -v redis-server >/dev/null 2>&1 || {
	echo "$install ran, but redis-server is still not on the PATH" >&2
	exit 1
}
