#!/bin/sh
# Sees that the machine that checks changes has a browser for the tests of the pages. Where there
# is none, it installs Debian's chromium, which needs root and apt-get.
set -eu
exec 1>&2 </dev/null

stop() {
    echo "ci_browser: $*"
    exit 1
}

for name in ${CHROME:-chromium chromium-browser google-chrome google-chrome-stable}; do
    if command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1; then exit 0; fi
done

command -v apt-get >/dev/null || stop "no Chromium was found, and there is no apt-get to install it with. Install one, or name it in CHROME."
as_root=
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || stop "no Chromium was found, and installing it needs root. Install one, or name it in CHROME."
    as_root="sudo -n"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "ci_browser: installing chromium"
# shellcheck disable=SC2086
{ $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends chromium; } >"$log" 2>&1 || {
    tail -n 5 "$log"
    stop "chromium could not be installed; the lines above say why. Install one, or name it in CHROME."
}
chromium --version >/dev/null 2>&1 || stop "what was installed as chromium does not run. Install a Chromium, or name it in CHROME."
