#!/usr/bin/env bash
# Makes sure that the named programs are there: `tools/servers.sh promtool wrk`. A missing one is installed with
# apt-get when that is possible; otherwise this fails and says which package to install. Nothing is ever skipped.
set -euo pipefail

package_of() {
    case "$1" in
    promtool | prometheus) echo prometheus ;;
    amtool | prometheus-alertmanager) echo prometheus-alertmanager ;;
    node | npm) echo npm ;;
    chromium) echo chromium ;;
    redis-server) echo redis-server ;;
    postgres) echo postgresql-15 ;;
    pgbouncer) echo pgbouncer ;;
    faketime) echo faketime ;;
    wrk) echo wrk ;;
    *)
        echo "tools/servers.sh: no package is known for '$1'; add it to package_of." >&2
        return 1
        ;;
    esac
}

have() { PATH="$PATH:/usr/sbin:/sbin:/usr/lib/postgresql/15/bin" command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

packages=()
for program in "$@"; do
    package=$(package_of "$program")
    have "$program" || packages+=("$package")
done
[ ${#packages[@]} -gt 0 ] || exit 0

fail() {
    echo "Missing: ${packages[*]}. $1" >&2
    echo "Install with your package manager, on Debian and Ubuntu: sudo apt-get install ${packages[*]}" >&2
    exit 1
}

may_install || fail "They cannot be installed from here (no apt-get, or no rights)."

# A package that starts a daemon on installation would take ports that tests want: policy-rc.d forbids it meanwhile.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    trap 'as_root rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing ${packages[*]} …"
install=(env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${packages[@]}")
as_root "${install[@]}" >/dev/null 2>&1 ||
    { as_root apt-get update --quiet >/dev/null && as_root "${install[@]}" >/dev/null; } ||
    fail "apt-get could not install them."
for program in "$@"; do
    have "$program" || fail "apt-get ran, but '$program' is still not on the PATH."
done
