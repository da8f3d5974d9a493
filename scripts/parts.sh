#!/usr/bin/env bash
# Installs the real peers that tests run against, each once. What is there already is left alone.
# Root on Debian gets what is missing; anybody else gets one line a part, and those tests skip.
set -euo pipefail
cd "$(dirname "$0")/.."

PRISM=5.14.2
NODE_MAJOR_MIN=18
PARTS="$PWD/.parts"
missing=0
lists_fresh=""

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'parts: %s\n' "$*"; }
lacks() {
	say "missing: $*; tests that need it skip"
	missing=$((missing + 1))
}
may_install() { [ "$(id -u)" = 0 ] && have apt-get; }

fresh_lists() {
	[ -n "$lists_fresh" ] || apt-get update -qq || return 1
	lists_fresh=yes
}

# provide COMMAND PACKAGE...: Debian packages, when the command is not there.
provide() {
	local wanted="$1"
	shift
	if have "$wanted"; then return 0; fi
	if ! may_install; then
		lacks "$wanted ($*)"
		return 1
	fi
	say "installing $*"
	if fresh_lists && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		-o Dpkg::Options::=--force-confold "$@" >/dev/null && have "$wanted"; then
		return 0
	fi
	lacks "$wanted ($* did not install)"
	return 1
}

node_major() { node --version | sed 's/^v\([0-9]*\).*/\1/'; }

kafka_part() {
	if compgen -G "$PARTS/kafka/libs/kafka_*.jar" >/dev/null; then return 0; fi
	provide mvn maven || return 0
	say "fetching Kafka"
	mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies \
		-DoutputDirectory="$PARTS/kafka/libs" || lacks "kafka (its jars did not come)"
}

prism_part() {
	if [ -x "$PARTS/prism/node_modules/.bin/prism" ] && have node; then return 0; fi
	provide node nodejs || return 0
	provide npm npm || return 0
	if [ "$(node_major)" -lt "$NODE_MAJOR_MIN" ]; then
		lacks "prism (needs node $NODE_MAJOR_MIN, here is $(node --version))"
		return 0
	fi
	say "fetching prism"
	mkdir -p "$PARTS/prism"
	npm install --silent --no-audit --no-fund --no-update-notifier --prefix "$PARTS/prism" \
		"@stoplight/prism-cli@$PRISM" >/dev/null || lacks "prism (npm could not install it)"
}

# Only the program and its libraries: the package would start a mail server.
smtp_sink_part() {
	local home="$PARTS/postfix" fetched
	if [ -x "$home/smtp-sink" ]; then return 0; fi
	if ! have apt-get || ! have dpkg-deb; then
		lacks "smtp-sink (postfix)"
		return 0
	fi
	if may_install; then fresh_lists || true; fi
	fetched="$(mktemp -d)"
	if ! (cd "$fetched" && apt-get download -qq postfix >/dev/null 2>&1); then
		rm -rf "$fetched"
		lacks "smtp-sink (postfix could not be downloaded)"
		return 0
	fi
	mkdir -p "$home/root"
	dpkg-deb --fsys-tarfile "$fetched"/postfix_*.deb |
		tar -x -C "$home/root" ./usr/sbin/smtp-sink ./usr/lib/postfix
	rm -rf "$fetched"
	if LD_LIBRARY_PATH="$home/root/usr/lib/postfix" ldd "$home/root/usr/sbin/smtp-sink" |
		grep -q 'not found'; then
		smtp_sink_libraries || return 0
	fi
	cat >"$home/smtp-sink" <<-'WRAPPER'
		#!/bin/sh
		# smtp-sink with the libraries that came with it.
		here="$(dirname "$(readlink -f "$0")")/root"
		LD_LIBRARY_PATH="$here/usr/lib/postfix" exec "$here/usr/sbin/smtp-sink" "$@"
	WRAPPER
	chmod +x "$home/smtp-sink"
}

smtp_sink_libraries() {
	local libraries
	libraries="$(apt-cache depends postfix | awk '/^  Depends: lib/ { print $2 }')"
	# shellcheck disable=SC2086 # a list of package names
	if may_install && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends $libraries >/dev/null; then
		return 0
	fi
	lacks "smtp-sink (its libraries)"
	return 1
}

# The server's programs without a cluster of their own: tests make theirs and take it away.
postgresql_part() {
	local conf=/etc/postgresql-common/createcluster.conf
	if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have postgres; then return 0; fi
	if may_install && [ ! -e "$conf" ]; then
		mkdir -p "$(dirname "$conf")"
		echo 'create_main_cluster = false' >"$conf"
	fi
	provide psql postgresql || return 0
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || lacks "postgresql (no server)"
}

provide java default-jre-headless || true
kafka_part
prism_part
smtp_sink_part
postgresql_part
provide chromium chromium || true
provide kubectl kubernetes-client || true

if [ "$missing" -gt 0 ] && [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ]; then
	say "$missing missing, and CI needs them all"
	exit 1
fi
