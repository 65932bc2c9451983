#!/bin/sh
# Install Debian's Chromium for the browser tests, where there is none and that is possible; without it they are
# skipped. It never fails, and gives up after two minutes.
LIMIT=120

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
why=""
grep -qs '^ID=debian' /etc/os-release || why="this is not Debian" # Ubuntu's package is a stub that asks for a snap
[ "$(id -u)" = 0 ] || why="only root may install it"
command -v apt-get >/dev/null || why="there is no apt-get"
if [ -z "$why" ]; then
    echo "Installing Chromium for the browser tests."
    export DEBIAN_FRONTEND=noninteractive
    timeout --kill-after=5 "$LIMIT" sh -c '
        wait="-o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 -o Acquire::Retries=1 -o DPkg::Lock::Timeout=30"
        apt-get -qq $wait update && apt-get -qq $wait install --yes --no-install-recommends chromium
    ' </dev/null >/dev/null 2>&1 && exit 0
    why="apt-get could not install it within $LIMIT seconds"
fi
echo "There is no Chromium, and $why: the browser tests will be skipped."
exit 0
