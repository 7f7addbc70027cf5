#!/bin/sh
# Makes the Python environment in .venv from requirements.lock. `make setup` runs this, and so does
# every target that finds the environment missing or older than the lock. Everything that it says
# goes to stderr, so that `make db-url` prints the URL and nothing else.
set -eu
cd "$(dirname "$0")/.."
exec 1>&2 </dev/null

stop() {
    echo "setup: $*"
    exit 1
}

# One setup at a time; the second waits, and then finds the work done.
exec 9<requirements.lock
if command -v flock >/dev/null; then flock 9; fi

current() {
    [ -x .venv/bin/python ] && [ -f .venv/.ready ] &&
        [ ! requirements.lock -nt .venv/.ready ] && [ ! pyproject.toml -nt .venv/.ready ]
}
current && exit 0

# The interpreter behind a name, if it is new enough; not one of a virtual environment, which may
# be the very one that is about to be replaced.
base_python() {
    "$1" -c 'import sys; sys.version_info >= (3, 11) and print(sys._base_executable)' 2>/dev/null
}

python=
for name in ${PYTHON:-python3 python python3.14 python3.13 python3.12 python3.11}; do
    python=$(base_python "$name") || python=
    [ -z "$python" ] || break
done
[ -n "$python" ] || stop "no Python 3.11 or later was found. Install one, or name it: make setup PYTHON=/path/to/python3"

# Without a writable home uv has nowhere to keep its cache.
[ -w "${HOME:-/nonexistent}" ] || export UV_NO_CACHE=1
unset UV_SYSTEM_PYTHON VIRTUAL_ENV PYTHONHOME PYTHONPATH

uv=$(command -v uv) || uv=
# An environment without its stamp was left half made: begin again.
if ! { [ -x .venv/bin/python ] && [ -f .venv/.ready ]; }; then
    echo "setup: making .venv with $("$python" --version)"
    rm -rf .venv
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "$python" .venv
    else
        "$python" -m venv .venv ||
            stop "$python cannot make virtual environments. Install its venv module (on Debian and Ubuntu the package python3-venv), or uv."
    fi
fi
rm -f .venv/.ready

if [ -z "$uv" ]; then
    uv=$PWD/.venv/bin/uv
    # The lines of uv in the lock: its version and its hashes.
    awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements.lock >.venv/uv.txt
    PIP_USER=0 .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
        --require-hashes -r .venv/uv.txt || stop "uv could not be installed; is the network reachable?"
fi

echo "setup: installing the packages of requirements.lock"
sync() {
    "$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
}
# The second try is for networks whose certificates the system knows and uv does not.
sync 2>.venv/sync.log || UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 sync ||
    stop "the packages could not be installed; is the network reachable?"
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .

# Python compiles a package on its first import, which takes longer than the import itself. Done here
# it takes two cores, and the first load does not wait for it. All packages would take three times as
# long; these are what a load needs.
echo "setup: compiling what a load imports"
PYTHONDONTWRITEBYTECODE= .venv/bin/python -c 'import etl.__main__, alembic.command' &
first=$!
PYTHONDONTWRITEBYTECODE= .venv/bin/python -c 'import great_expectations' ||
    stop "the packages are there, but Python cannot import them; its message is above"
wait "$first" || stop "the packages are there, but Python cannot import the project; its message is above"
touch .venv/.ready
