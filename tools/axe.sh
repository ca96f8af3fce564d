#!/usr/bin/env bash
# Makes sure that axe-core is there, which judges how accessible pages are, and prints its file.
set -euo pipefail
cd "$(dirname "$0")/.."

package=axe-core@4.14.1
folder=.cache/axe

if [ "$(cat "$folder/wanted" 2>/dev/null)" != "$package" ]; then
    tools/servers.sh npm
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    echo '{"private": true}' >"$scratch/package.json"
    npm install --prefix "$scratch" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error "$package" >&2
    echo "$package" >"$scratch/wanted"
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    mv "$scratch" "$folder"
    trap - EXIT
fi
echo "$PWD/$folder/node_modules/axe-core/axe.min.js"
