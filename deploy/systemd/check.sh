#!/bin/sh
# Checks understudy.service: systemd-analyze verify must have nothing to say, and the exposure must be 2.0 or less.
# The binary need not be installed: verify sees a copy of the unit in which another program stands for it.
set -eu

unit=$(dirname "$0")/understudy.service
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

command -v systemd-analyze >/dev/null || { echo "systemd-analyze is missing: apt-get install systemd" >&2; exit 1; }

sed 's|/usr/bin/understudy|/bin/true|' "$unit" >"$tmp/understudy.service"
status=0
said=$(systemd-analyze verify --man=no "$tmp/understudy.service" 2>&1) || status=$?
if [ "$status" -ne 0 ] || [ -n "$said" ]; then
	echo "systemd-analyze verify $unit: exit $status: $said" >&2
	exit 1
fi
if ! table=$(systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" 2>&1); then
	echo "$table" >&2
	echo "systemd-analyze security $unit: the exposure is over 2.0" >&2
	exit 1
fi
echo "$table" | tail -n 1
