#!/usr/bin/env bash
# Makes .venv with exactly the locked packages and this checkout, and stamps it as ready.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-python3}"

say() { printf 'setup: %s\n' "$*"; }
stop() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}

command -v "$PYTHON" >/dev/null || stop "python3 is missing; install Python 3.11 or later"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
	stop "Python 3.11 or later is needed, and $PYTHON is $("$PYTHON" -V 2>&1); set PYTHON=..."

# Stock Debian has Python without venv.
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		say "installing python3-venv"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
	else
		stop "Python's venv is missing; on Debian: apt-get install python3-venv"
	fi
fi

if [ ! -x .venv/bin/python ]; then
	say "making .venv"
	"$PYTHON" -m venv .venv
fi
say "installing locked packages"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
# The lock holds the build tool too, so nothing is fetched beside it.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
touch .venv/.ready
