#!/bin/sh
# Makes .venv-peers, the environment of the peers that `make bench PEERS=1` measures, from
# requirements.lock next to this file. It needs .venv, whose Python and uv it takes.
set -eu
cd "$(dirname "$0")/../../.."
exec 1>&2 </dev/null

lock=scripts/bench/peers/requirements.lock
# One setup at a time; the second waits, and then finds the work done.
exec 9<"$lock"
if command -v flock >/dev/null; then flock 9; fi
[ -x .venv-peers/bin/python ] && [ -f .venv-peers/.ready ] && [ ! "$lock" -nt .venv-peers/.ready ] &&
    exit 0

# Without a writable home uv has nowhere to keep its cache.
[ -w "${HOME:-/nonexistent}" ] || export UV_NO_CACHE=1
unset UV_SYSTEM_PYTHON VIRTUAL_ENV PYTHONHOME PYTHONPATH

uv=$(command -v uv) || uv=.venv/bin/uv
# An environment without its stamp was left half made: begin again.
if ! { [ -x .venv-peers/bin/python ] && [ -f .venv-peers/.ready ]; }; then
    rm -rf .venv-peers
    "$uv" venv --quiet --python \
        "$(.venv/bin/python -c 'import sys; print(sys._base_executable)')" .venv-peers
fi
rm -f .venv-peers/.ready
echo "setup: installing the packages of $lock"
sync() {
    "$uv" pip sync --quiet --python .venv-peers/bin/python --require-hashes "$lock"
}
# The second try is for networks whose certificates the system knows and uv does not.
sync 2>.venv-peers/sync.log || UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 sync || {
    echo "setup: the packages could not be installed; is the network reachable?"
    exit 1
}
touch .venv-peers/.ready
