#!/bin/sh
# Puts Debian's Prometheus into .prometheus, for the lab and the tests: no root, nothing of the system is changed.
# apt checks the signature and decides the version. Whoever has no apt does without, and is told what that means.
set -eu

into=.prometheus
[ ! -x "$into/promtool" ] || exit 0

without() {
    echo "no Prometheus in $into: $1; in the lab it is then the one on PATH, if any, and tests that need it are skipped" >&2
    exit 0
}
for program in apt-get dpkg-deb tar; do
    command -v "$program" >/dev/null 2>&1 || without "$program is not there"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
private="-qq -o Dir::State=$work/state -o Dir::State::status=/dev/null -o Dir::Cache=$work/cache -o APT::Sandbox::User="
echo "fetching Debian's Prometheus into $into (once, 20 MB)"
# shellcheck disable=SC2086
apt-get $private update >"$work/log" 2>&1 && (cd "$work" && apt-get $private download prometheus) >>"$work/log" 2>&1 ||
    without "apt could not fetch it ($(tail -n 1 "$work/log"))"
mkdir "$work/programs"
dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb |
    tar -x -C "$work/programs" --strip-components=3 ./usr/bin/prometheus ./usr/bin/promtool
mkdir -p "$into"
# promtool comes last: it says that all is there.
mv "$work/programs/prometheus" "$work/programs/promtool" "$into/"
